-- Tables, indexes, joins, window functions, text and JSON in sqlite3. `rows` is set by the caller.
PRAGMA temp_store = memory;
PRAGMA synchronous = off;
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, town INTEGER, born INTEGER, note TEXT);
CREATE TABLE town(id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO town WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
	SELECT i, printf('town-%05d', i * 7919 % 10007) FROM n;
INSERT INTO person WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows)
	SELECT i, printf('name-%x', i * 2654435761 % 4294967296), 1 + i * 31 % 500, 1900 + i * 17 % 120,
		hex(zeroblob(i * 13 % 200)) FROM n;
CREATE INDEX person_name ON person(name);
CREATE INDEX person_town ON person(town, born);
SELECT town.name, count(*), avg(born), max(person.name), sum(length(note)) FROM person JOIN town ON town.id = person.town
	GROUP BY town.id ORDER BY town.name LIMIT 20;
SELECT born, name FROM (SELECT born, name, row_number() OVER (PARTITION BY born ORDER BY name) AS place FROM person)
	WHERE place <= 2 ORDER BY born LIMIT 40;
SELECT length(group_concat(name, ',')), count(DISTINCT substr(name, 6, 3)) FROM person;
SELECT json_array_length(json_group_array(json_object('id', id, 'name', name))) FROM person;
SELECT count(*) FROM person AS a JOIN person AS b ON a.name = b.name AND a.id <> b.id;
UPDATE person SET note = note || name WHERE id % 3 = 0;
DELETE FROM person WHERE id % 5 = 0;
VACUUM;
SELECT count(*), sum(length(note)), min(name), max(name) FROM person;
PRAGMA integrity_check;
