-- Bytes on disk: ZSTD(3) for whatever names no codec of its own (the engine's default is LZ4), and packed lists of rows in
-- the text index, a third of the plain ones. Only what is written or merged from now on changes; nothing is rewritten here
-- but the index.
ALTER TABLE spans MODIFY SETTING default_compression_codec = 'ZSTD(3)';
ALTER TABLE content MODIFY SETTING default_compression_codec = 'ZSTD(3)';
ALTER TABLE logs MODIFY SETTING default_compression_codec = 'ZSTD(3)';
ALTER TABLE traces MODIFY SETTING default_compression_codec = 'ZSTD(3)';
ALTER TABLE scores MODIFY SETTING default_compression_codec = 'ZSTD(3)';
ALTER TABLE points MODIFY SETTING default_compression_codec = 'ZSTD(3)';
ALTER TABLE measurements MODIFY SETTING default_compression_codec = 'ZSTD(3)';
ALTER TABLE spans MODIFY COLUMN output_text CODEC(Default), MODIFY COLUMN attributes CODEC(Default);
ALTER TABLE content MODIFY COLUMN body CODEC(Default);
ALTER TABLE logs MODIFY COLUMN body CODEC(Default);
ALTER TABLE traces MODIFY COLUMN input_text CODEC(Default), MODIFY COLUMN output_text CODEC(Default);
ALTER TABLE traces DROP INDEX IF EXISTS words;
ALTER TABLE traces ADD INDEX IF NOT EXISTS tokens lowerUTF8(concat(ifNull(input_text, ''), ' ', ifNull(output_text, '')))
  TYPE text(tokenizer = splitByNonAlpha, posting_list_codec = 'bitpacking');
ALTER TABLE traces MATERIALIZE INDEX tokens;
