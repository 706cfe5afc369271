-- From where operators have logged in.

ALTER TABLE operator_sessions
    ADD COLUMN user_agent text,
    ADD COLUMN address text;
