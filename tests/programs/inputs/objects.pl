# Hashes of arrays, string building, sorting, regular expressions and closures; prints check sums only.
use strict;
use warnings;

my $rounds = shift;
my $seed = 12345;
sub random { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; return ($seed >> 8) % $_[0] }

my %words;
for my $i (1 .. $rounds) {
	my $word = join '', map { chr(97 + random(26)) } 1 .. 1 + random(12);
	push @{$words{$word}}, $i, "$word-$i" x (1 + random(5));
	delete $words{(sort keys %words)[0]} if $i % 20000 == 0;
}
my ($lists, $bytes) = (0, 0);
for my $word (sort keys %words) {
	$lists += @{$words{$word}};
	$bytes += length for @{$words{$word}};
}
print "lists $lists bytes $bytes words ", scalar(keys %words), "\n";

my $text = join ' ', sort keys %words;
my $vowels = () = $text =~ /[aeiou]{2}/g;
(my $shorter = $text) =~ s/([b-d])\w/uc $1/ge;
print "text ", length $text, " vowels $vowels shorter ", length $shorter, "\n";

my @closures = map { my $n = $_; sub { return $n * $_[0] } } 1 .. $rounds / 4;
my $sum = 0;
$sum = ($sum + $_->(3)) % 1000003 for @closures;
print "closures $sum\n";

sub tree { my $depth = shift; return $depth ? [tree($depth - 1), tree($depth - 1)] : undef }
sub nodes { my $node = shift; return defined $node ? 1 + nodes($node->[0]) + nodes($node->[1]) : 0 }
print "nodes ", nodes(tree(15)), "\n" for 1 .. 3;
