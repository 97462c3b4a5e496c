//! Every service killed with -9 at every moment at which the outside sees an effect: the main job comes through, each effect
//! once, none early.

use std::time::Duration;

use local::demo::{Kill, Moment, Screen, play};
use local::stack::Stack;
use proto::SERVICES;
use testing::run;

#[test]
fn the_main_job_comes_through_whichever_service_is_killed_at_whichever_moment() {
    run(async {
        let stack = Stack::start(&system_tests::options()).await.unwrap();
        for (word, moment) in Moment::ALL {
            for service in SERVICES {
                let clean =
                    play(&stack, Duration::from_millis(200), Some(Kill { service, moment }), &Screen::Nobody).await;
                assert!(clean.unwrap_or_else(|error| panic!("{service}@{word}: {error:#}")), "{service}@{word}");
            }
        }
        stack.stop().await;
    });
}
