DROP TABLE repeatables;
