#!/usr/bin/perl
# The claims store: an old Perl daemon, core modules only. GET /documents/{id} takes 300 ms; while the storm file exists it takes 4 s.
# One process, a select loop; replies wait in a queue ordered by their due time.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

my ($port, $storm) = ($ENV{PORT} // 0, $ENV{STORM_FILE} // '');
my $listener = IO::Socket::INET->new(Listen => 512, LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1, Blocking => 0)
  or die "store: cannot listen on $port: $!\n";
$| = 1;
print 'listening on ', $listener->sockport, "\n";

my $select = IO::Select->new($listener);
my (%input, @due);    # per connection: bytes not yet parsed; [time, connection, keep-alive, body]

sub take_requests {
    my ($socket) = @_;
    while ($input{$socket} =~ s/\A(\w+) (\S+) HTTP\/1\.(\d)\r\n(.*?)\r\n\r\n//s) {
        my ($method, $target, $minor, $fields) = ($1, $2, $3, "$4\r\n");
        my $keep = $fields =~ /^connection:\s*close/mi ? 0 : $minor;
        my ($status, $body) = $target =~ m{^/documents/([\w-]+)$}
          ? ('200 OK', qq({"document":"$1","pages":3}\n))
          : ('404 Not Found', qq({"error":"no such document"}\n));
        my $delay = $storm && -e $storm ? 4 : 0.3;
        my $reply = "HTTP/1.1 $status\r\nContent-Type: application/json\r\nContent-Length: " . length($body)
          . "\r\nConnection: " . ($keep ? 'keep-alive' : 'close') . "\r\n\r\n$body";
        push @due, [time + $delay, $socket, $keep, $reply];
    }
}

sub forget {
    my ($socket) = @_;
    $select->remove($socket);
    delete $input{$socket};
    @due = grep { $_->[1] != $socket } @due;
    close $socket;
}

$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = sub { exit 0 };
while (1) {
    @due = sort { $a->[0] <=> $b->[0] } @due;
    my $wait = @due ? $due[0][0] - time : 1;
    for my $socket ($select->can_read($wait > 0 ? $wait : 0)) {
        if ($socket == $listener) {
            while (my $new = $listener->accept) { $new->blocking(0); $select->add($new); $input{$new} = ''; }
            next;
        }
        my $count = sysread $socket, $input{$socket}, 65536, length $input{$socket};
        if (defined $count ? !$count : !$!{EAGAIN}) { forget($socket); next; }
        take_requests($socket);
    }
    while (@due && $due[0][0] <= time) {
        my (undef, $socket, $keep, $reply) = @{ shift @due };
        next unless exists $input{$socket};
        syswrite $socket, $reply;
        forget($socket) unless $keep;
    }
}
