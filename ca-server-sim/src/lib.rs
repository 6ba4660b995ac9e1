//! Simulated EPICS IOC in the process of its user
