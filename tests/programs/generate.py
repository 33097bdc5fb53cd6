"""Makes the inputs that are too large to keep: a C file, a stream of git commits, files for a web server."""
import random


def c_source(path, lines):
    """Writes a C file of about `lines` lines: records, tables, and functions of 20 lines each that call each other."""
    choose = random.Random(1)
    with open(path, "w", encoding="ascii") as out:
        out.write("typedef unsigned long word;\nstatic word start(word x) { return x + 1; }\n")
        for number in range(lines // 20):
            earlier = choose.randrange(number) if number else 0
            call = f"mix_{earlier}(&local, x)" if number else "start(x)"
            record = f"struct record_{earlier}" if number else f"struct record_{number}"
            a, b, c, d = (choose.randrange(1, 1000) for _ in range(4))
            out.write(f"""
struct record_{number} {{ word first, second; char name[{1 + a % 40}]; struct record_{number} *next; }};
static const char *const names_{number}[] = {{ "name-{a}", "name-{b}", "a longer name, {c}, of record {number}" }};
word mix_{number}({record} *list, word x)
{{
	{record} local = *list;
	word sum = names_{number}[x % 3][0];
	for (; list && x; list = list->next) {{
		switch (x % {3 + a % 9}) {{
		case 0: sum += list->first * {b}; break;
		case 1: sum ^= list->second << {c % 31}; break;
		case 2: sum -= {call}; break;
		default: x = x / 2 + {d};
		}}
		if (sum > {a * b}ul && local.first != {d})
			local.second = sum % {c} ? start(sum) : x;
		x--;
	}}
	return sum + local.second;
}}
""")


def git_stream(path, commits):
    """Writes `commits` commits over 300 text files as a stream for `git fast-import`."""
    choose = random.Random(1)
    files = [[f"line {line} of file {number}" for line in range(100)] for number in range(300)]
    with open(path, "w", encoding="ascii") as out:
        for commit in range(1, commits + 1):
            message = f"Change number {commit}\n\nWhy: {choose.random()}\n"
            out.write(f"commit refs/heads/main\ncommitter Test <test@example.org> {1700000000 + commit * 60} +0000\n")
            out.write(f"data {len(message)}\n{message}")
            for number in choose.sample(range(len(files)), 3):
                for _ in range(5):
                    files[number][choose.randrange(len(files[number]))] = f"changed by {commit}: {choose.random()}"
                text = "\n".join(files[number]) + "\n"
                out.write(f"M 100644 inline folder{number % 17}/file{number}.txt\ndata {len(text)}\n{text}\n")


def web_pages(folder):
    """Writes a small and a large page of words that compress as text does."""
    choose = random.Random(1)
    for name, words in (("small.html", 300), ("large.html", 20000)):
        (folder / name).write_text(" ".join(f"word{choose.randrange(2000)}" for _ in range(words)), encoding="ascii")
