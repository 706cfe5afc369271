INSERT INTO hourly_shares AS share (owner, hour, used)
VALUES ($1, date_trunc('hour', clock_timestamp(), 'UTC'), 1)
ON CONFLICT (owner) DO UPDATE
    SET used = CASE WHEN share.hour = excluded.hour THEN share.used + 1 ELSE 1 END, hour = excluded.hour
    WHERE share.hour <> excluded.hour OR share.used < $2
