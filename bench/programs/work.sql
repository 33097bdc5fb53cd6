-- work.sql - the bench's sqlite3 program: an in-memory database filled, indexed, joined and changed.
PRAGMA temp_store = MEMORY;
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, city TEXT, age INTEGER);
CREATE TABLE sale (id INTEGER PRIMARY KEY, person INTEGER, amount INTEGER, note TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO person SELECT i, 'name ' || (i * 7919 % 60013), 'city ' || (i % 97), i % 90 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250000)
INSERT INTO sale SELECT i, 1 + i * 31 % 60000, i % 1000, 'note ' || (i % 5003) FROM n;
COMMIT;
CREATE INDEX person_city ON person(city, age);
CREATE INDEX sale_person ON sale(person);
SELECT city, count(*), sum(amount) FROM person JOIN sale ON sale.person = person.id GROUP BY city ORDER BY 3 DESC LIMIT 5;
SELECT count(DISTINCT note), total(length(note)) FROM sale;
UPDATE sale SET note = note || ' changed' WHERE amount % 3 = 0;
DELETE FROM person WHERE age > 60;
SELECT substr(group_concat(name), 1, 60) FROM (SELECT name FROM person ORDER BY name);
SELECT count(*), max(length(note)) FROM sale WHERE person IN (SELECT id FROM person WHERE age < 30);
