//! Reasons of the outside to end: signals, and an output that nobody reads.

/// Ends when the user wants the program to end: Ctrl-C, or `kill`.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                result = tokio::signal::ctrl_c() => never_on_error(result).await,
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    never_on_error(tokio::signal::ctrl_c().await).await;
}

/// Without a handler the signal ends the program by itself.
async fn never_on_error(result: std::io::Result<()>) {
    if result.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ends when standard output is a pipe whose reader went away, so that `| head` ends the program
/// also while there is nothing to write.
pub(crate) async fn closed_output() {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use tokio::io::Interest;
        use tokio::net::unix::pipe::Sender;
        // A second descriptor that is only watched, so its mode does not matter. Files cannot be
        // watched; they do not go away either.
        if let Ok(output) = std::io::stdout().as_fd().try_clone_to_owned()
            && let Ok(output) = Sender::from_file_unchecked(output.into())
            && output.ready(Interest::ERROR).await.is_ok()
        {
            return;
        }
    }
    std::future::pending::<()>().await;
}
