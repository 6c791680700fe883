"""A DTLS client on tinydtls, by way of DTLSSocket.

Arguments: port, identity, key. Lines of standard input are sent, and what comes is printed after "received".
"""

import socket
import sys

from DTLSSocket import dtls

port, identity, key = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3].encode()
server = ("::ffff:127.0.0.1", port)
events, received = [], []
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.settimeout(10)


def read(_, data):
    received.append(data.decode())
    return len(data)


client = dtls.DTLS(
    read=read,
    write=lambda address, data: udp.sendto(data, address),
    event=lambda level, code: events.append(code),
    pskId=identity,
    pskStore={identity: key},
)
# The association ends when this goes.
connection = client.connect(*server)


def receive():
    data, (address, sender, *_) = udp.recvfrom(2048)
    client.handleMessageAddr(address, sender, data)


# DTLS_EVENT_CONNECTED
while 0x1DE not in events:
    receive()
for line in sys.stdin:
    client.write(connection, line.strip().encode())
    while not received:
        receive()
    print("received", received.pop(), flush=True)
