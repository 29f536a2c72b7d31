# SPDX-License-Identifier: MIT
# perl: hashes, strings, regular expressions, sorting, fork.
case $1 in
needs) echo perl ;;
seen) echo perl ;;
prepare)
	cat >load.pl <<'PERL'
use strict; use warnings;
my %h;
for my $i (1 .. 100000) { push @{$h{"k" . ($i * 7919 % 5003)}}, $i }
print scalar(keys %h), " ", scalar(@{$h{k17}}), "\n";
print join(",", (sort { @{$h{$b}} <=> @{$h{$a}} || $a cmp $b } keys %h)[0 .. 5]), "\n";
my $s = ""; $s .= chr(97 + $_ % 26) x ($_ % 9) for 1 .. 50000;
my $n = () = $s =~ /([a-e]{2,})z?/g; print length($s), " $n\n";
(my $t = $s) =~ s/(\w)\1+/<$1>/g; print length($t), "\n";
my @m = map { [ map { $_ * 2 } 1 .. 50 ] } 1 .. 2000;
my $sum = 0; for my $r (@m) { $sum += $_ for @$r } print "$sum\n";
for my $i (1 .. 5) {
	my $pid = fork(); if (!$pid) { my @x = (1) x ($i * 10000); exit scalar(@x) / 10000 }
	waitpid($pid, 0); print $? >> 8, "\n";
}
print `echo from a child`;
my $deep; $deep = [$deep] for 1 .. 50000; undef $deep;
print "done\n";
PERL
	;;
work) PERL_HASH_SEED=0 PERL_PERTURB_KEYS=0 perl load.pl ;;
esac
