ALTER TABLE operator_sessions
    DROP COLUMN address,
    DROP COLUMN user_agent;
