DROP TABLE hourly_shares;
DROP TABLE sign_ups;
