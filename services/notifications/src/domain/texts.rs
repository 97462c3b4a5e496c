//! Every word that a person reads in a reminder or says on the phone. The three texts differ (some gateways drop a text
//! repeated to a number within a day), carry the signature, and need no more than two parts of 67 characters.

use foundation::base::Timestamp;
use foundation::base::time::shown;

use super::{AlarmReason, Card, Kind, Target};

/// What a text tells of.
#[derive(Debug, Clone)]
pub struct Matter {
    /// The unit's name.
    pub unit: String,
    /// What the units were told.
    pub title: String,
    /// The place.
    pub place: String,
    /// T0.
    pub blown_at: Timestamp,
    /// By when it shall be handled.
    pub handle_due_at: Timestamp,
}

const SIGNATURE: &str = "【海区E家】";

/// The reminder; `link` is for whoever can answer for the unit.
pub fn sms(kind: Kind, text: i32, target: Target, matter: &Matter, link: &str) -> String {
    let Matter { unit, title, place, handle_due_at, .. } = matter;
    let until = shown(*handle_due_at);
    let body = match (kind, text, target) {
        (_, _, Target::DeputyMayor) => format!("红牌报告：{unit}对{place}“{title}”逾时未办，已示红牌，请督促。"),
        (Kind::Answer, 1, _) => format!("吹哨：{unit}，{place}“{title}”，请即应哨：{link}"),
        (Kind::Answer, 2, _) => format!("黄牌提醒：{unit}对“{title}”逾时未应哨，已示黄牌，请速应哨：{link}"),
        (Kind::Answer, _, _) => format!("红牌警告：{unit}对“{title}”仍未应哨，已示红牌，将报阳光+：{link}"),
        (Kind::Handling, 1, _) => format!("处置提醒：{unit}，“{title}”须于{until}前交卷。"),
        (Kind::Handling, 2, _) => format!("处置黄牌：{unit}，“{title}”已过{until}期限未交卷，已示黄牌。"),
        (Kind::Handling, _, _) => format!("处置红牌：{unit}，“{title}”超期仍未交卷，已示红牌，将报阳光+。"),
    };
    format!("{SIGNATURE}{body}")
}

/// How many messages a text is charged and sent as: 70 UCS-2 characters in one, or 67 in each part.
pub fn segments(text: &str) -> usize {
    let units = text.encode_utf16().count();
    if units <= 70 { 1 } else { units.div_ceil(67) }
}

/// What the head of the governance centre says.
pub fn script(kind: Kind, card: Option<Card>, callee: Target, callee_name: &str, matter: &Matter) -> String {
    let Matter { unit, title, place, blown_at, handle_due_at } = matter;
    let card = match card {
        Some(Card::Yellow) => "黄牌",
        Some(Card::Red) => "红牌",
        None => "提醒",
    };
    let since = shown(*blown_at);
    let (lack, wanted) = match kind {
        Kind::Answer => ("至今未应哨".to_owned(), "应哨办理"),
        Kind::Handling => (format!("须于{}前交卷，至今未交卷", shown(*handle_due_at)), "办结交卷"),
    };
    let ask = match callee {
        Target::DeputyMayor => format!("请您督促{unit}立即{wanted}"),
        Target::Duty | Target::Head | Target::Deputy | Target::CentreHead => format!("请贵单位立即{wanted}"),
    };
    format!("{callee_name}您好，这里是区综治中心。{since}就{place}“{title}”向{unit}吹哨，{lack}，已示{card}。{ask}。")
}

/// What the centre is told.
pub fn alarm(reason: AlarmReason, unit: &str, target: Target) -> String {
    let role = role(target);
    match reason {
        AlarmReason::NoContact => format!("{unit}没有登记{role}，提醒无法送达，请补录通讯录并电话告知。"),
        AlarmReason::NotDelivered => format!("发给{role}的提醒短信未能送达，请电话告知。"),
        AlarmReason::NoReceipt => format!("发给{role}的提醒短信72小时内没有送达回执，请电话核实。"),
    }
}

fn role(target: Target) -> &'static str {
    match target {
        Target::Duty => "值班联系人",
        Target::Head => "单位负责人",
        Target::Deputy => "备用联系人",
        Target::DeputyMayor => "分管副区长",
        Target::CentreHead => "综治中心主任",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn matter(length: usize) -> Matter {
        let word = |length| "暖".repeat(length);
        Matter {
            unit: word(length),
            title: word(length),
            place: word(length),
            blown_at: Timestamp::UNIX_EPOCH,
            handle_due_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_three_texts_of_a_ladder_differ_and_are_signed() {
        for kind in [Kind::Answer, Kind::Handling] {
            let texts: BTreeSet<_> = (1..=3).map(|text| sms(kind, text, Target::Duty, &matter(8), "l")).collect();
            assert_eq!(texts.len(), 3);
            assert!(texts.iter().all(|text| text.starts_with("【海区E家】")));
        }
    }

    #[test]
    fn seventy_characters_fit_one_message_and_more_go_in_parts_of_sixty_seven() {
        assert_eq!(segments(&"哨".repeat(70)), 1);
        assert_eq!(segments(&"哨".repeat(71)), 2);
        assert_eq!(segments(&"哨".repeat(134)), 2);
        assert_eq!(segments(&"哨".repeat(135)), 3);
    }

    #[test]
    fn an_ordinary_reminder_needs_at_most_two_parts() {
        let link = format!("https://eq.example.gov.cn/a/{}", "x".repeat(43));
        assert!(segments(&sms(Kind::Answer, 3, Target::Duty, &matter(8), &link)) <= 2);
    }
}
