//! A drill walks the ladder without ever leaving the house.

use std::time::Duration;

use local::people::{Somebody, channel};
use local::scenario::{Play, heating};
use proto::dispatch::v1::policy_service_client::PolicyServiceClient;
use proto::dispatch::v1::{CreatePolicyRequest, GetPolicyRequest};
use proto::notifications::v1::message_service_client::MessageServiceClient;
use proto::notifications::v1::{ListMessagesRequest, MessageState};
use proto::oversight::v1::case_service_client::CaseServiceClient;
use proto::oversight::v1::{CaseState, ListCasesRequest};
use testing::{eventually, run};

#[test]
fn a_drill_is_recorded_to_the_last_rung_and_nothing_is_sent() {
    run(async {
        let stack = system_tests::stack().await;
        let play = Play::new(stack).unwrap();
        let short = play.load_policy(chrono::TimeDelta::milliseconds(50)).await.unwrap();
        let centre = Somebody::new(&stack.issuer, "centre", "centre", None, None).unwrap();
        let mut policies = PolicyServiceClient::new(channel(stack, "dispatch").unwrap());
        let mut policy =
            policies.get_policy(centre.request(GetPolicyRequest { version: short })).await.unwrap().into_inner();
        policy.drill = true;
        let request = CreatePolicyRequest { request_id: local::people::request_id(), policy: Some(policy) };
        let drill = policies.create_policy(centre.request(request)).await.unwrap().into_inner().version;
        let matter = heating();
        play.enter(&matter).await.unwrap();
        let blown = play.blow(&matter, drill).await.unwrap();
        let assignment_id = blown.assignments[0].id.to_string();
        let cased = || async {
            let mut cases = CaseServiceClient::new(channel(stack, "oversight").unwrap());
            let request = ListCasesRequest { state: CaseState::Drill.into(), ..ListCasesRequest::default() };
            let list = cases.list_cases(centre.request(request)).await.unwrap().into_inner();
            list.cases.iter().any(|case| case.assignment_id == assignment_id)
        };
        eventually("the drill has its case", cased).await;
        let mut messages = MessageServiceClient::new(channel(stack, "notifications").unwrap());
        let request = ListMessagesRequest { assignment_id: assignment_id.clone() };
        let list = messages.list_messages(centre.request(request)).await.unwrap().into_inner().messages;
        assert_eq!(list.len(), 6);
        assert!(list.iter().all(|message| message.state() == MessageState::Drill));
        local::pause(Duration::from_millis(300)).await;
        let numbers = [matter.units[0].duty.clone(), matter.units[0].head.clone()];
        assert!(!stack.ledger.read().unwrap().iter().any(|seen| numbers.iter().any(|number| seen.to.contains(number))));
    });
}
