//! Returns memory to the kernel.

/// Returns free memory to the kernel.
///
/// An export and a page briefly take several times the memory of the table. glibc keeps free pages between used
/// ones, so the agent would hold memory for nothing between two exports, and for good after a node had many pods.
/// [`bound`] and glibc's tunables, which the image sets, bound the rest. Other allocators return memory by themselves.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no crate wraps it")]
    // SAFETY: malloc_trim(3) is safe to call at any time from any thread, and takes no pointer.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// Lets the heap grow in one place, and large blocks outside the heap, however the program is started; returns whether
/// the allocator agrees. Tunables in the environment are left as they are: they can do the same and more.
pub(super) fn bound() -> bool {
    let tunables = std::env::var_os("GLIBC_TUNABLES").unwrap_or_default();
    tunables.to_string_lossy().contains("glibc.malloc.") || set_limits()
}

#[cfg(target_env = "gnu")]
fn set_limits() -> bool {
    use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};
    // By default glibc raises the two thresholds when a large block is freed.
    let limits = [(M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, 128 << 10), (M_TRIM_THRESHOLD, 128 << 10)];
    #[expect(unsafe_code, reason = "no crate wraps it")]
    // SAFETY: mallopt(3) takes no pointer, and may be called between other calls of the allocator.
    limits.into_iter().all(|(parameter, value)| unsafe { mallopt(parameter, value) } == 1)
}

#[cfg(not(target_env = "gnu"))]
fn set_limits() -> bool {
    true
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use netns_testbed::Usage;

    use super::*;

    /// A large block lies outside the heap, even after another large block was freed.
    #[test]
    fn large_blocks_stay_outside_the_heap() {
        const LARGE: usize = 4 << 20;
        assert!(bound());
        drop(vec![1u8; LARGE]);
        let block = vec![1u8; LARGE];
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let heap = maps.lines().find(|line| line.ends_with("[heap]")).unwrap();
        let (from, to) = heap.split_whitespace().next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|end| usize::from_str_radix(end, 16).unwrap());
        assert!(!(from..to).contains(&(block.as_ptr() as usize)));
    }

    #[test]
    fn free_memory_between_used_is_returned() {
        const MIB: u64 = 1 << 20;
        let resident = || Usage::of(std::process::id()).anonymous;
        let mut blocks: Vec<Option<Box<[u8; 1024]>>> = (0..64 * 1024).map(|_| Some(Box::new([1; 1024]))).collect();
        let full = resident();
        let most = blocks.iter_mut().enumerate().filter(|(number, _)| number % 64 != 0);
        most.for_each(|(_, block)| *block = None);
        assert!(resident() > full - 16 * MIB, "it went back by itself: this test shows nothing");
        give_back();
        assert!(resident() < full - 48 * MIB, "{full} before, {} after", resident());
        assert!(blocks.iter().flatten().all(|block| block[0] == 1));
    }
}
