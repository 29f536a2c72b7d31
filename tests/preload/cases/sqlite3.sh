# SPDX-License-Identifier: MIT
# sqlite3: a database built, indexed, joined, shrunk and checked.
case $1 in
needs) echo sqlite3 ;;
seen) echo sqlite3 ;;
prepare)
	cat >load.sql <<'SQL'
PRAGMA cache_size = 2000;
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, age INT, note BLOB);
CREATE TABLE visit(person INT, day INT, place TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
INSERT INTO person SELECT i, 'name' || (i * 7919 % 50021), i % 90,
	zeroblob(i % 300) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO visit SELECT i * 31 % 50000, i % 365, 'place' || (i % 97) FROM n;
COMMIT;
CREATE INDEX visit_person ON visit(person, day);
CREATE INDEX person_name ON person(name);
SELECT count(*), sum(length(note)) FROM person;
SELECT place, count(*) c, avg(age) FROM visit JOIN person ON id = person
	GROUP BY place ORDER BY c DESC, place LIMIT 5;
SELECT name, group_concat(day) FROM person JOIN visit ON id = person
	WHERE age = 42 GROUP BY name ORDER BY name LIMIT 3;
UPDATE person SET name = upper(name) || hex(substr(note, 1, 8)) WHERE id % 3 = 0;
DELETE FROM visit WHERE day BETWEEN 100 AND 200;
SELECT json_group_array(json_object('n', name)) FROM (SELECT name FROM person
	ORDER BY name DESC LIMIT 3);
SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY age ORDER BY name) r
	FROM person);
VACUUM;
PRAGMA integrity_check;
SQL
	;;
work)
	sqlite3 test.db <load.sql && sqlite3 test.db .dump | cksum
	;;
esac
