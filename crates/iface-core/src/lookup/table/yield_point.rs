/// Marks an access to what threads share.
///
/// A test runs the writer and its readers under a scheduler that may switch between them at each
/// of these points and nowhere else; outside tests there is nothing here.
#[inline(always)]
pub(super) fn yield_point() {
    #[cfg(test)]
    super::tests::interleaved::switch();
}
