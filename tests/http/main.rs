//! The HTTP responder on real sockets, and with curl as its client. What SPEC section 5 says about requests in general;
//! what the endpoints answer is tested where they are.

mod limits;
mod port;
mod requests;
mod stage;
