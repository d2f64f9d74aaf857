//! All cases, with threads and blocks in several orders.

use braid_gpu::{Lane, shim::Order};
use braid_gpu_check::{CASES, PRODUCT_CASES};

use crate::shim;

fn every_case(order: Order) {
    for (name, case) in CASES.iter().chain(&PRODUCT_CASES) {
        println!("{name}");
        case(&mut Lane::new(&shim().in_order(order)).unwrap());
    }
}

#[test]
fn from_the_first_thread_to_the_last() {
    every_case(Order::Forward);
}

#[test]
fn from_the_last_thread_to_the_first() {
    every_case(Order::Reverse);
}

#[test]
fn in_any_order() {
    every_case(Order::Random(20_261_126));
}
