//! Virtual network and clock in which Channel Access clients and IOCs meet
