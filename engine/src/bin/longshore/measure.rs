//! What a run costs the process.

use std::time::Duration;

/// CPU time of all threads of this process so far, user and system.
pub fn cpu_time() -> Duration {
    let usage = usage();
    let duration = |time: libc::timeval| {
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_usec).unwrap_or(0).saturating_mul(1000))
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

/// Most memory this process ever had resident, bytes.
pub fn peak_rss_bytes() -> u64 {
    // `ru_maxrss` survives `exec`, and would blame us for a large parent; `VmHWM` belongs to this program alone.
    high_water_mark().unwrap_or_else(|| {
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        u64::try_from(usage().ru_maxrss).unwrap_or(0).saturating_mul(unit)
    })
}

fn high_water_mark() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn usage() -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::zeroed();
    // SAFETY: `getrusage` writes at most one `rusage` there; all zeros is a valid one, should the call fail.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    }
}

/// Quantile `q` of `values` (nearest rank); 0 for none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something() {
        assert!(peak_rss_bytes() > 100_000);
        let before = cpu_time();
        let mut sum = 0u64;
        while cpu_time() <= before {
            sum = std::hint::black_box(sum + 1);
        }
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99), quantile(&values, 1.0)), (50.0, 99.0, 100.0));
        assert_eq!((quantile(&[], 0.5), quantile(&[7.0], 0.5)), (0.0, 7.0));
    }
}
