//! The way from a socket to whoever handles its datagrams, whatever server they are for.

use std::{
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Phase,
    metrics::{self, Metrics},
    socket::{Datagram, ReceiveBuffers, UdpTransport},
};

/// Receives datagrams from when the server serves until it stops reading, and hands each to `dispatch`.
pub(super) async fn receive(
    transport: &UdpTransport,
    mut phase: watch::Receiver<Phase>,
    metrics: &Metrics,
    dispatch: impl Fn(&Datagram<'_>),
) {
    if phase
        .wait_for(|phase| *phase >= Phase::Serving)
        .await
        .is_err()
    {
        return; // The start was given up.
    }
    let mut buffers = ReceiveBuffers::new();
    loop {
        let received = tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase >= Phase::NotReading) => return,
            received = transport.receive(&mut buffers, |datagram| guard(metrics, &datagram, &dispatch)) => received,
        };
        if let Err(error) = received {
            // ICMP errors of single peers arrive here too; the socket stays usable.
            tracing::debug!(%error, "receiving failed");
            tokio::time::sleep(RECEIVE_ERROR_PAUSE).await;
        }
        // Lets the actors of this batch run before their mailboxes take the next one.
        tokio::task::yield_now().await;
    }
}

/// A datagram that makes its handling panic costs itself, not the socket.
fn guard(metrics: &Metrics, datagram: &Datagram<'_>, dispatch: impl Fn(&Datagram<'_>)) {
    metrics.udp_datagrams.of(metrics::Direction::In).inc();
    metrics
        .udp_bytes
        .of(metrics::Direction::In)
        .inc_by(datagram.payload.len() as u64);
    if datagram.peer.local().is_some_and(is_group) {
        metrics.udp_dropped.of(metrics::DropReason::Multicast).inc();
        return;
    }
    if catch_unwind(AssertUnwindSafe(|| dispatch(datagram))).is_err() {
        metrics.actor_panics.inc();
        tracing::error!(peer = %datagram.peer, "handling a datagram panicked");
    }
}

/// Whether an address of ours stands for a group: what was sent there is not answered (A3).
fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

const RECEIVE_ERROR_PAUSE: Duration = Duration::from_millis(10);
