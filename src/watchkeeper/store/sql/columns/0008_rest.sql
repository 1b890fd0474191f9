-- A week that has rested for two hours becomes one part: FINAL has nothing to merge in it. It costs some ten microseconds of the
-- processor a span, once.
ALTER TABLE spans MODIFY SETTING min_age_to_force_merge_seconds = 7200, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE traces MODIFY SETTING min_age_to_force_merge_seconds = 7200, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE scores MODIFY SETTING min_age_to_force_merge_seconds = 7200, min_age_to_force_merge_on_partition_only = 1;
