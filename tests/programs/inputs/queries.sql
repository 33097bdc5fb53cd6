-- Sorts, joins, aggregates, JSON, a procedure and savepoints in PostgreSQL, after pgbench has run.
SELECT sum(abalance) FROM pgbench_accounts;
SELECT sum(bbalance) FROM pgbench_branches;
SELECT sum(tbalance) FROM pgbench_tellers;
SELECT count(*), sum(delta) FROM pgbench_history;
CREATE TABLE sample AS SELECT i, md5(i::text) AS name, i % 1000 AS part FROM generate_series(1, 200000) AS i;
CREATE INDEX ON sample(name);
ANALYZE sample;
SELECT md5(string_agg(name, ',' ORDER BY name)) FROM sample;
SELECT count(*), sum(a.i::bigint * b.i) FROM sample AS a JOIN sample AS b USING (part) WHERE a.i < 5000;
SELECT md5(jsonb_agg(jsonb_build_object('i', i, 'name', name, 'list', jsonb_build_array(i, part)) ORDER BY i)::text) FROM sample;
SELECT part, count(*) FILTER (WHERE name LIKE '%a%'), max(name) FROM sample GROUP BY part ORDER BY 3 LIMIT 10;
DO $$
DECLARE text_so_far text := '';
BEGIN
	FOR n IN 1 .. 2000 LOOP
		BEGIN
			text_so_far := text_so_far || md5(n::text);
			IF n % 10 = 0 THEN RAISE EXCEPTION 'undo'; END IF;
		EXCEPTION WHEN raise_exception THEN text_so_far := left(text_so_far, 1000);
		END;
	END LOOP;
	CREATE TABLE outcome AS SELECT md5(text_so_far) AS digest;
END $$;
SELECT digest FROM outcome;
SELECT count(*) FROM sample WHERE name ~ '(ab|cd)+[0-9]{3}';
