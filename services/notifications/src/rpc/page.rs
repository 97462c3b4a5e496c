//! What a phone shows when the duty officer taps the link: one field, one button. Opening it changes nothing (phones and
//! gateways open links by themselves); only the button answers.

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Html;
use axum::routing::get;
use axum::{Form, Router};
use foundation::base::Chain;
use foundation::base::time::shown;
use http::StatusCode;
use serde::Deserialize;

use crate::domain::call_task::Refusal;
use crate::error::Error;
use crate::operations::link::{self, Answering};

#[derive(Deserialize)]
struct Filled {
    responsible_person: String,
}

type Page = (StatusCode, Html<String>);

/// `GET` and `POST /a/{token}`.
pub fn router(answering: Answering) -> Router {
    Router::new().route("/a/{token}", get(form).post(answer)).layer(DefaultBodyLimit::max(4096)).with_state(answering)
}

async fn form() -> Page {
    let form = "<form method=post><p><label>责任人姓名 <input name=responsible_person required maxlength=50></label></p>\
                <p><button>应哨</button></p></form>";
    page(StatusCode::OK, form)
}

async fn answer(State(answering): State<Answering>, Path(token): Path<String>, Form(filled): Form<Filled>) -> Page {
    let name = filled.responsible_person.trim();
    if !(1..=50).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return page(StatusCode::BAD_REQUEST, "<p>请填写责任人姓名（1 至 50 字）。</p>");
    }
    match link::answer(&answering, &token, name).await {
        Ok(answered) => {
            page(StatusCode::OK, &format!("<p>已应哨，时间 {}。请按期处置并交卷。</p>", shown(answered.at)))
        }
        Err(Error::Refused(Refusal::Link(_))) => {
            page(StatusCode::GONE, "<p>此链接无效、已过期或已使用，请使用最新短信中的链接。</p>")
        }
        Err(Error::Peer(status)) if status.code() == tonic::Code::FailedPrecondition => {
            page(StatusCode::CONFLICT, "<p>本哨已应，无需重复操作。</p>")
        }
        Err(error) => {
            tracing::error!(error = %Chain(&error), "an answer by link failed");
            page(StatusCode::SERVICE_UNAVAILABLE, "<p>系统繁忙，请稍后再点一次。</p>")
        }
    }
}

fn page(status: StatusCode, body: &str) -> Page {
    let head = "<!doctype html><html lang=zh-CN><meta charset=utf-8>\
                <meta name=viewport content=\"width=device-width\"><title>海区E家 · 应哨</title><h1>海区E家 · 应哨</h1>";
    (status, Html(format!("{head}{body}")))
}
