DROP TABLE one_time_tokens;

ALTER TABLE sessions
    DROP COLUMN address,
    DROP COLUMN user_agent;
