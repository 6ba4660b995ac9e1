//! EPICS Channel Access client
