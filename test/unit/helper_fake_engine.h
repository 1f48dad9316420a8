/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine of helper_fake_engine.c does, by domain id.
 */
#ifndef XENSR_TEST_HELPER_FAKE_ENGINE_H
#define XENSR_TEST_HELPER_FAKE_ENGINE_H

enum fake_domid {
	FAKE_CALLBACKS = 1, /* logs its parameters, calls every callback, logs the answers */
	FAKE_FAILS = 2,
	FAKE_NOISE = 3,    /* prints to stdout */
	FAKE_STREAMS = 4,  /* moves octets on the stream until that fails */
	FAKE_REPORTS = 5,  /* the same, with progress */
	FAKE_SUSPENDS = 6, /* asks for the suspend and fails if that fails */
};

#endif
