/// A seed whose world broke a promise.
pub struct Failure {
    pub seed: u64,
    pub text: String,
}
