//! The processes of a step, as the machine's `/proc` shows them (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// The number of tmpfs in `linux/magic.h`.
pub(in crate::sandbox) const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// A place in a process's table of descriptors.
const ENTRY_BYTES: u64 = 8;

/// What runs below one process, itself included.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct ProcessTree {
    pub processes: Vec<i32>,
    pub tasks: u64,
    /// Memory that is no file's, added up without regard to what they share.
    pub private_bytes: u64,
    /// Memory that is made to be shared, mapped files in memory too, added up alike.
    pub shared_bytes: u64,
    /// What the kernel keeps for each: tables of pages and of descriptors.
    pub tables_bytes: u64,
}

/// Walks down from `head`; stops when it has met more than `most` tasks.
pub(in crate::sandbox) fn below(head: i32, most: u64) -> ProcessTree {
    let mut tree = ProcessTree::default();
    let mut pending = vec![head];
    let mut parents = None;
    while let Some(pid) = pending.pop() {
        if tree.tasks > most {
            break;
        }
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let threads = field(&status, "Threads:").unwrap_or(1);
        tree.processes.push(pid);
        tree.tasks += threads;
        let bytes = |name| field(&status, name).unwrap_or(0).saturating_mul(1024);
        tree.private_bytes += bytes("RssAnon:") + bytes("VmSwap:");
        tree.shared_bytes += bytes("RssShmem:");
        tree.tables_bytes += bytes("VmPTE:") + field(&status, "FDSize:").unwrap_or(0) * ENTRY_BYTES;
        match children(pid, threads) {
            Some(children) => pending.extend(children),
            // A kernel that does not list children: everybody is asked for its parent.
            None => pending.extend(
                parents
                    .get_or_insert_with(all_parents)
                    .get(&pid)
                    .into_iter()
                    .flatten(),
            ),
        }
    }
    tree
}

/// Processes and threads of the whole machine: the last but one field of `proc_loadavg(5)`, behind a slash.
pub(in crate::sandbox) fn of_machine() -> Option<u64> {
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    load.split_once('/')?.1.split(' ').next()?.parse().ok()
}

/// Processes that a namespace's own `/proc` lists, by way of its first process; counted up to `most` and one, `None`
/// if there is no such list. One folder to read, where [`below`] reads some files of each.
pub(in crate::sandbox) fn in_namespace(head: i32, most: u64) -> Option<u64> {
    let list = format!("/proc/{head}/root/proc");
    // As long as it has not entered its own root, it shows the machine's list.
    if rustix::fs::stat(&list).ok()?.st_dev == rustix::fs::stat("/proc").ok()?.st_dev {
        return None;
    }
    let listed = fs::read_dir(list).ok()?;
    let is_process = |name: &std::ffi::OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let count = listed
        .flatten()
        .filter(|entry| is_process(&entry.file_name()))
        .take(most.saturating_add(1))
        .count();
    u64::try_from(count).ok()
}

/// A number behind a name in a file of lines.
pub(in crate::sandbox) fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The children of a process.
pub(in crate::sandbox) fn children_of(pid: i32) -> Vec<i32> {
    let threads = fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()
        .and_then(|status| field(&status, "Threads:"))
        .unwrap_or(1);
    children(pid, threads)
        .or_else(|| all_parents().remove(&pid))
        .unwrap_or_default()
}

/// The children of a process's threads; `None` if the kernel has no such list.
fn children(pid: i32, threads: u64) -> Option<Vec<i32>> {
    let list = |task: &str| {
        fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).map(|text| {
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
    };
    let own = list(&pid.to_string());
    if threads <= 1 {
        return own.ok();
    }
    own.ok()?;
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    Some(
        tasks
            .flatten()
            .filter_map(|task| list(task.file_name().to_str()?).ok())
            .flatten()
            .collect(),
    )
}

/// Every process's children, by way of their `stat`.
fn all_parents() -> BTreeMap<i32, Vec<i32>> {
    let mut parents: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let parent = pid
            .and_then(|pid: i32| parent_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?));
        if let (Some(pid), Some(parent)) = (pid, parent) {
            parents.entry(parent).or_default().push(pid);
        }
    }
    parents
}

/// The parent in a line of `stat`: behind the name, which may hold anything, and the state.
fn parent_of(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Memory of these processes that is no file's, what they share counted once. Dear: the kernel walks their pages.
pub(in crate::sandbox) fn private(processes: &[i32]) -> u64 {
    processes
        .iter()
        .filter_map(|pid| {
            let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
                // Not readable, or gone: then what it said of itself before must do.
                let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
                return field(&status, "RssAnon:");
            };
            ["Pss_Anon:", "SwapPss:"]
                .iter()
                .map(|part| field(&rollup, part))
                .sum::<Option<u64>>()
        })
        .map(|kilobytes| kilobytes.saturating_mul(1024))
        .sum()
}

/// What the processes below a first one have in memory; that one is ours and does not count.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct MemoryUsage {
    pub processes: usize,
    /// Added up without regard to what they share.
    pub resident_bytes: u64,
    /// What they share divided among those who do; `None` where one of them cannot be asked.
    pub proportional_bytes: Option<u64>,
}

/// Asks each process below `head`. Dear: the kernel walks their pages.
pub(in crate::sandbox) fn usage_below(head: i32) -> MemoryUsage {
    let kilobytes = |pid: i32, file: &str, name: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        field(&text, name).map(|count| count.saturating_mul(1024))
    };
    let mut usage = MemoryUsage {
        proportional_bytes: Some(0),
        ..MemoryUsage::default()
    };
    let processes = below(head, u64::MAX).processes;
    for pid in processes.into_iter().filter(|pid| *pid != head) {
        // Who is gone meanwhile has none.
        let Some(resident) = kilobytes(pid, "status", "VmRSS:") else {
            continue;
        };
        usage.processes += 1;
        usage.resident_bytes += resident;
        let own = kilobytes(pid, "smaps_rollup", "Pss:");
        usage.proportional_bytes = usage
            .proportional_bytes
            .zip(own)
            .map(|(all, own)| all + own);
    }
    usage
}

/// What files in the memory of a step's own `/tmp` and `/dev/shm` take.
pub(in crate::sandbox) fn memory_files(head: i32) -> u64 {
    /// What a file without anything in it costs.
    const FILE_BYTES: u64 = 1024;
    ["tmp", "dev/shm"]
        .iter()
        .filter_map(|path| rustix::fs::statfs(format!("/proc/{head}/root/{path}")).ok())
        .filter(|space| space.f_type == TMPFS)
        .map(|space| {
            let block = u64::try_from(space.f_bsize).unwrap_or(0);
            let files = space.f_files.saturating_sub(space.f_ffree);
            space
                .f_blocks
                .saturating_sub(space.f_bfree)
                .saturating_mul(block)
                .saturating_add(files.saturating_mul(FILE_BYTES))
        })
        .sum()
}

/// How often the kernel ended a process of our control group for its memory, where it tells.
pub(in crate::sandbox) fn out_of_memory_kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let events = fs::read_to_string(format!("/sys/fs/cgroup{own}/memory.events")).ok()?;
    field(&events, "oom_kill ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_names() {
        let text = "Name:\tx\nThreads:\t7\nRssAnon:\t      96 kB\noom 1\noom_kill 3\n";
        assert_eq!(field(text, "Threads:"), Some(7));
        assert_eq!(field(text, "RssAnon:"), Some(96));
        assert_eq!(field(text, "oom_kill "), Some(3));
        assert_eq!(field(text, "VmSwap:"), None);
    }

    #[test]
    fn names_of_processes_confuse_nobody() {
        assert_eq!(parent_of("12 (a) S 5 (b) R 77 1 1"), Some(77));
        assert_eq!(parent_of("12 (sh) S 5 12 12"), Some(5));
        assert_eq!(parent_of("nonsense"), None);
    }

    #[test]
    fn children_are_found_either_way() {
        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .unwrap();
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let pid = i32::try_from(child.id()).unwrap();
        let tree = below(own, u64::MAX);
        let parents = all_parents();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tree.processes.contains(&pid));
        assert!(tree.tasks >= 2 && tree.private_bytes > 0);
        assert!(parents[&own].contains(&pid));
    }

    #[test]
    fn the_machine_has_processes() {
        assert!(of_machine().unwrap() > 0);
    }

    #[test]
    fn the_list_of_the_machine_is_no_namespaces() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        assert_eq!(in_namespace(own, 1), None);
    }

    #[test]
    fn what_is_shared_counts_once() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let tree = below(own, u64::MAX);
        assert!(private(&[own]) > 0);
        assert!(private(&tree.processes) <= tree.private_bytes * 2);
        assert_eq!(private(&[i32::MAX]), 0);
    }
}
