//! Sockets and tasks under the Channel Access state machines
