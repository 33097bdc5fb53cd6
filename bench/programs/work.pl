# work.pl - the bench's Perl program: hashes, arrays, text and sorting.
use strict;
use warnings;

my $total = 0;
for my $round (1 .. 4) {
	my (%count, %lists);
	for my $i (0 .. 120_000) {
		my $word = "word" . ($i * 7919 % 20011);
		$count{$word}++;
		push @{ $lists{ substr($word, 0, 6) } }, join("-", $word, $i, "x" x ($i % 40));
	}
	for my $key (sort keys %lists) {
		my @sorted = sort @{ $lists{$key} };
		$total += length($sorted[0]) + scalar(@sorted);
	}
	my $text = join(" ", map { "$_=$count{$_}" } sort keys %count);
	$total++ while $text =~ /word(\d+)=\d/g;
}
print "$total\n";
