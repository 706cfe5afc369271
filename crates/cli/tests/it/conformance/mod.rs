//! What is promised of every operation: the kit's tests, as an adopter has them; and that each of them can fail.

mod faulty;

use crate::support::System;

bulkhead_testkit::conformance!(System::app());
