-- Which spans have an attribute of this value is read from an index of `key newline value`, not from the attributes. Longer
-- ones than 64 bytes are texts: nobody looks for equal ones, and each would be in the index alone. A part written before
-- this has no index until the look-up is materialised, and is read whole until then.
ALTER TABLE spans ADD INDEX IF NOT EXISTS facts
  arrayFilter(f -> length(f) <= 64, arrayMap((k, v) -> concat(k, '\n', v), mapKeys(attributes), mapValues(attributes)))
  TYPE text(tokenizer = array, posting_list_codec = 'bitpacking');
ALTER TABLE spans MATERIALIZE INDEX facts;
