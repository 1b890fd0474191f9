-- ${codec}: in the embedded engine a part is compressed by what it is, LZ4 when it has just come and ZSTD(3) from its first merge on, and
-- a setting of the table would say the same for both. A server keeps the setting: its configuration is not ours.
ALTER TABLE spans ${codec};
ALTER TABLE content ${codec};
ALTER TABLE logs ${codec};
ALTER TABLE traces ${codec};
ALTER TABLE scores ${codec};
ALTER TABLE measurements ${codec};
-- Merged twenty at a time instead of ten: a row is written again less often while much comes, and a query looks at some more parts.
ALTER TABLE spans MODIFY SETTING merge_selector_base = 20;
ALTER TABLE content MODIFY SETTING merge_selector_base = 20;
ALTER TABLE logs MODIFY SETTING merge_selector_base = 20;
ALTER TABLE traces MODIFY SETTING merge_selector_base = 20;
