-- Which spans have an attribute of this value is read from an index of `key newline value`, not from the attributes. A part
-- written before this has none until it is merged or the look-up is materialised, and is read whole until then.
ALTER TABLE spans ADD INDEX IF NOT EXISTS facts arrayMap((k, v) -> concat(k, '\n', v), mapKeys(attributes), mapValues(attributes))
  TYPE text(tokenizer = array, posting_list_codec = 'bitpacking');
ALTER TABLE spans MATERIALIZE INDEX facts;
