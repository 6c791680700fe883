//! The usual `process_*` metrics, read from `/proc/self` at each scrape; absent where there is none.

use std::{collections::BTreeSet, fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// Reads `/proc/self`.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    /// When the process started, seconds since 1970.
    pub start_seconds: i64,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut add = |name, help, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        if let Some(seconds) = cpu_seconds() {
            add(
                "process_cpu_seconds",
                "CPU time spent in user and system mode.",
                &ConstCounter::new(seconds),
            )?;
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Resident memory.",
                status_field(&status, "VmRSS:").map(|kilobytes| kilobytes * 1024),
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory.",
                status_field(&status, "VmSize:").map(|kilobytes| kilobytes * 1024),
            ),
            (
                "process_threads",
                "Threads.",
                status_field(&status, "Threads:"),
            ),
            ("process_open_fds", "Open file descriptors.", open_fds()),
            (
                "process_max_fds",
                "Limit of open file descriptors.",
                max_fds(),
            ),
            (
                "process_start_time_seconds",
                "When the process started, Unix time.",
                Some(self.start_seconds),
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                add(name, help, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

/// User plus system time (proc_pid_stat(5), fields 14 and 15).
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the program's name in parentheses, may hold blanks.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().ok())
        .sum::<Option<u32>>()?;
    Some(f64::from(ticks) / TICKS_PER_SECOND)
}

fn status_field(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_fds() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

fn max_fds() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    status_field(&limits, "Max open files")
}

/// Datagrams that the kernel dropped at the UDP sockets of this process because their receive buffers were full.
pub(super) fn udp_drops() -> u64 {
    let Ok(files) = fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    let own: BTreeSet<u64> = files
        .filter_map(|file| socket_inode(fs::read_link(file.ok()?.path()).ok()?.to_str()?))
        .collect();
    ["/proc/self/net/udp", "/proc/self/net/udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .map(|table| drops_of(&table, &own))
        .sum()
}

/// `socket:[20983]`
fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// The drops (the last field) of the sockets with these inodes (the tenth) in a table of the kernel.
fn drops_of(table: &str, inodes: &BTreeSet<u64>) -> u64 {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let inode: u64 = fields.nth(9)?.parse().ok()?;
            let drops: u64 = fields.last()?.parse().ok()?;
            inodes.contains(&inode).then_some(drops)
        })
        .sum()
}

/// USER_HZ, the unit of times in `/proc`, which is 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_of_status_and_limits() {
        let status = "Name:\tlightship\nVmSize:\t  204800 kB\nThreads:\t4\n";
        assert_eq!(status_field(status, "VmSize:"), Some(204_800));
        assert_eq!(status_field(status, "Threads:"), Some(4));
        assert_eq!(status_field(status, "VmRSS:"), None);
        let limits = "Max open files            1024                 524288               files \n";
        assert_eq!(status_field(limits, "Max open files"), Some(1024));
    }

    #[test]
    fn a27_drops_are_those_of_the_sockets_named() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            77: 00000000:1635 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20983 2 0000000000000000 41\n\
            78: 00000000:1636 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20984 2 0000000000000000 7\n";
        assert_eq!(drops_of(table, &BTreeSet::from([20983])), 41);
        assert_eq!(drops_of(table, &BTreeSet::from([20983, 20984])), 48);
        assert_eq!(socket_inode("socket:[20983]"), Some(20983));
        assert_eq!(socket_inode("/dev/null"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a27_overflow_of_a_receive_queue_is_counted() {
        let before = udp_drops();
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        let overflowed = (0..100).any(|_| {
            for _ in 0..500 {
                sender.send_to(&[0; 1000], address).unwrap();
            }
            udp_drops() > before
        });
        assert!(overflowed);
    }
}
