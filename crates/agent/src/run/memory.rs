//! Returns memory to the kernel.

/// Returns free memory to the kernel.
///
/// An export and a page briefly take several times the memory of the table. glibc keeps free pages between used
/// ones, so the agent would hold memory for nothing between two exports, and for good after a node had many pods.
/// glibc's tunables, which the image sets, bound the rest. Other allocators return memory by themselves.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no crate wraps it")]
    // SAFETY: malloc_trim(3) is safe to call at any time from any thread, and takes no pointer.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use netns_testbed::Usage;

    use super::*;

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
