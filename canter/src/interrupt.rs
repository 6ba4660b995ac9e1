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

/// Ends when standard input does, if that is wanted. A thread reads it, which ends with the process.
pub(crate) async fn stdin_ended(wanted: bool) {
    let (send, ended) = tokio::sync::oneshot::channel();
    if wanted {
        std::thread::spawn(move || {
            // An input that cannot be read has ended too.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = send.send(());
        });
        if ended.await.is_ok() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// A signal by which a service is asked for something.
#[derive(Debug)]
pub(crate) struct Asked {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

/// Watches for hang-ups, the signal that asks services to read their files anew, from now on.
pub(crate) fn hung_up() -> Asked {
    Asked {
        #[cfg(unix)]
        signal: {
            use tokio::signal::unix::{SignalKind, signal};
            signal(SignalKind::hangup()).ok()
        },
    }
}

/// Watches for SIGUSR1, which asks for a recording, from now on.
pub(crate) fn asked_to_dump() -> Asked {
    Asked {
        #[cfg(unix)]
        signal: {
            use tokio::signal::unix::{SignalKind, signal};
            signal(SignalKind::user_defined1()).ok()
        },
    }
}

impl Asked {
    /// Ends with the next one.
    ///
    /// # Cancel safety
    /// None is lost.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
