//! The load of the machine, which a core shows to its administrators.

use std::{fs, thread};

use super::super::proto::SystemInfoProto;

/// Reads the load of the machine; what cannot be found out is 0.
#[derive(Debug, Default)]
pub(super) struct Host {
    last: CpuTimes,
}

/// Processor time since the machine started, in the kernel's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CpuTimes {
    busy: u64,
    total: u64,
}

impl Host {
    /// The load; that of the processors since the last call, at first since the machine started.
    pub(super) fn load(&mut self) -> SystemInfoProto {
        let now = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|stat| CpuTimes::of(&stat))
            .unwrap_or(self.last);
        let cpu_usage = now.percent_since(self.last);
        self.last = now;
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let (total_memory, memory_usage) = memory_of(&memory).unwrap_or_default();
        let (total_disc_space, disk_usage) = disk().unwrap_or_default();
        SystemInfoProto {
            cpu_usage,
            cpu_count: thread::available_parallelism()
                .map_or(0, |count| signed(count.get() as u64)),
            memory_usage,
            total_memory,
            disk_usage,
            total_disc_space,
        }
    }
}

impl CpuTimes {
    /// Reads the first line of `/proc/stat` (proc_stat(5)): user, nice, system, idle, iowait and more; guests are part
    /// of user and nice.
    fn of(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let times: Vec<u64> = line
            .split_whitespace()
            .take(8)
            .map(|time| time.parse().ok())
            .collect::<Option<_>>()?;
        let total = times.iter().sum();
        let idle: u64 = times.iter().skip(3).take(2).sum();
        Some(Self {
            busy: total - idle,
            total,
        })
    }

    fn percent_since(self, before: Self) -> i64 {
        percent(
            self.busy.saturating_sub(before.busy),
            self.total.saturating_sub(before.total),
        )
    }
}

/// Bytes of memory and the part in use, percent, from `/proc/meminfo`.
fn memory_of(meminfo: &str) -> Option<(i64, i64)> {
    let kibibytes = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let total = kibibytes("MemTotal:")?;
    let used = total.saturating_sub(kibibytes("MemAvailable:")?);
    Some((signed(total.saturating_mul(1024)), percent(used, total)))
}

/// Bytes of the root file system and the part in use, percent.
#[cfg(target_os = "linux")]
fn disk() -> Option<(i64, i64)> {
    let found = nix::sys::statvfs::statvfs("/").ok()?;
    let (blocks, free) = (found.blocks(), found.blocks_free());
    let bytes = blocks.saturating_mul(found.fragment_size());
    Some((signed(bytes), percent(blocks.saturating_sub(free), blocks)))
}

/// Bytes of the root file system and the part in use, percent.
#[cfg(not(target_os = "linux"))]
const fn disk() -> Option<(i64, i64)> {
    None
}

/// `part` of `whole`, 0 to 100.
fn percent(part: u64, whole: u64) -> i64 {
    let percent = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    signed(percent.min(100))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_counted_between_two_looks() {
        let first = CpuTimes::of("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4\n").unwrap();
        assert_eq!(
            first,
            CpuTimes {
                busy: 200,
                total: 1000
            }
        );
        assert_eq!(first.percent_since(CpuTimes::default()), 20);
        let second = CpuTimes::of("cpu  130 0 120 740 110 0 0 0 50 0\n").unwrap();
        assert_eq!(second.percent_since(first), 50);
        assert_eq!(second.percent_since(second), 0);
        assert_eq!(CpuTimes::of("intr 1 2 3"), None);
    }

    #[test]
    fn memory_in_use_is_what_is_not_available() {
        let meminfo = "MemTotal:       2000 kB\nMemFree:  10 kB\nMemAvailable:   500 kB\n";
        assert_eq!(memory_of(meminfo), Some((2_048_000, 75)));
        assert_eq!(memory_of("MemTotal: 2000 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_a_load() {
        let load = Host::default().load();
        assert!(load.cpu_count > 0 && load.total_memory > 0 && load.total_disc_space > 0);
        let percent = [load.cpu_usage, load.memory_usage, load.disk_usage];
        assert!(percent.iter().all(|percent| (0..=100).contains(percent)));
    }
}
