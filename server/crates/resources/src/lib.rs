//! Limits of what one request, one owner and the whole server take: shares of memory ([`budget`], [`growing`]), places
//! for slow work ([`places`]), child processes with limits ([`child`]), and folders that are deleted
//! when they are dropped ([`scratch`]).

#![forbid(unsafe_code)]

pub mod budget;
pub mod child;
pub mod growing;
pub mod places;
pub mod scratch;
