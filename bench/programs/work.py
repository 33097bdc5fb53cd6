"""work.py - the bench's CPython program: objects, dictionaries, text, JSON and sorting.

usage: work.py [ACCOUNTS]    (default 20000)
"""
import json
import re
import sys


class Account:
    def __init__(self, number, owner):
        self.number = number
        self.owner = owner
        self.entries = []

    def add(self, amount, text):
        self.entries.append({"amount": amount, "text": text, "number": len(self.entries)})


def build(count):
    accounts = {}
    for number in range(count):
        account = Account(number, f"owner-{number * 7919 % 10007}")
        for step in range(number % 7 + 1):
            account.add((number * 31 + step * 17) % 1000, f"entry {step} of {account.owner}")
        accounts[account.owner + str(number)] = account
    return accounts


def main(count):
    total = 0
    for round_number in range(2):
        accounts = build(count)
        text = json.dumps([[a.owner, a.entries] for a in accounts.values()])
        data = json.loads(text)
        total += sum(entry["amount"] for _, entries in data for entry in entries)
        words = re.findall(r"owner-\d+", text)
        total += len(set(words))
        ordered = sorted(accounts.values(), key=lambda a: (a.owner, -a.number))
        total += sum(i * a.number for i, a in enumerate(ordered)) % 1000003
        matrix = [[(i * j + round_number) % 97 / 7 for j in range(300)] for i in range(300)]
        total += int(sum(max(row) for row in map(list, zip(*matrix))))
    print(total)


main(int(sys.argv[1]) if len(sys.argv) > 1 else 20000)
