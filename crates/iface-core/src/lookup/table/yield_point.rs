//! Places where the tests of interleavings may switch threads.

/// Marks an access to memory shared by threads.
///
/// Tests run the writer and readers under a scheduler that switches threads at yield points only;
/// outside tests the function is empty.
#[inline(always)]
pub(super) fn yield_point() {
    #[cfg(test)]
    super::tests::interleaved::switch();
}
