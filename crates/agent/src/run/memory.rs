//! Gives memory back to the kernel.

/// Gives back what is free.
///
/// An export and a page take several times the memory of what is known, for a moment. glibc keeps pages that are
/// free between others that are not, so a node that had many pods once, and every node between two exports, would
/// hold memory for nothing. What else glibc keeps, its tunables say, which can only be set from outside: the image
/// does. Other allocators return memory by themselves.
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
    fn what_is_free_between_what_is_used_goes_back_to_the_kernel() {
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
