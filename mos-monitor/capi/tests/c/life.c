/* The life of contexts: several at once, the ways in which they end, and who may end them. */
#include "test.h"
#include "capture.h"

#ifdef SLOW
enum { MANY = 60, ROUNDS = 40, PACKETS = 400 };
#else
enum { MANY = 2000, ROUNDS = 400, PACKETS = 4000 };
#endif

enum { FLOWS = 40 };

static mctx_t contexts[2];

static bool leave_from_filter(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg);

static void
nothing(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
}

/* Connections that all live at once. Those with an even number say goodbye. */
static void
write_flows(void)
{
	struct talk t[FLOWS];
	int i, word;

	begin_capture("in.pcap");
	for (i = 0; i < FLOWS; i++) {
		t[i] = talk(i);
		handshake(&t[i]);
	}
	for (word = 0; word < 3; word++)
		for (i = 0; i < FLOWS; i++)
			say(&t[i], word & 1, "words");
	for (i = 0; i < FLOWS; i += 2)
		goodbye(&t[i]);
	end_capture();
}

/* One that goes on and on, and never ends. */
static void
write_long_flow(void)
{
	struct talk t = talk(0);
	int i;

	begin_capture("in.pcap");
	handshake(&t);
	for (i = 0; i < PACKETS; i++)
		say(&t, i & 1, "x");
	end_capture();
}

static void *
join(void *mctx)
{
	mtcp_app_join(mctx);
	return NULL;
}

/* Counting. */

static atomic_int starts, packets, ends, data_events;
static atomic_int by_cpu[2];

static void
count_start(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;
	starts++;
	by_cpu[mctx->cpu]++;
}

static void
count_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	packets++;
}

static void
count_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	ends++;
}

static void
count_data(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	data_events++;
}

static void
count_all(mctx_t mctx)
{
	int sock = monitor(mctx);

	on(mctx, sock, MOS_ON_CONN_START, MOS_HK_SND, count_start);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, count_packet);
	on(mctx, sock, MOS_ON_CONN_END, MOS_HK_RCV, count_end);
	on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, count_data);
}

/* Two cores at once. */

static atomic_int present;

/* Neither goes on before the other has come: they do run at the same time. */
static void
meet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static __thread bool has_come;

	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	if (has_come)
		return;
	has_come = true;
	present++;
	while (present < 2)
		sched_yield();
}

static void
expect_all_flows(void)
{
	EXPECT_IS(starts, FLOWS);
	EXPECT_IS(packets, FLOWS * 6 + FLOWS / 2 * 4);
	EXPECT_IS(ends, FLOWS * 2);
}

static void
two_contexts_of_one_thread(void)
{
	int i;

	write_flows();
	init("forward = 0", "pcap:in.pcap 0x3");
	for (i = 0; i < 2; i++) {
		contexts[i] = context(i);
		EXPECT_IS(contexts[i]->cpu, i);
		count_all(contexts[i]);
		on(contexts[i], monitor(contexts[i]), MOS_ON_CONN_START, MOS_HK_RCV, meet);
	}
	/* Joining the one starts the other, too. */
	mtcp_app_join(contexts[1]);
	mtcp_app_join(contexts[0]);
	expect_all_flows();
	EXPECT(by_cpu[0] > 0 && by_cpu[1] > 0);
	EXPECT_IS(mtcp_destroy(), 0);
}

static void *
run_core(void *number)
{
	int cpu = (int)(intptr_t)number;
	mctx_t mctx;

	EXPECT_IS(mtcp_core_affinitize(cpu % GetNumCPUs()), 0);
	mctx = context(cpu);
	count_all(mctx);
	on(mctx, monitor(mctx), MOS_ON_CONN_START, MOS_HK_RCV, meet);
	mtcp_app_join(mctx);
	EXPECT_IS(mtcp_destroy_context(mctx), 0);
	return NULL;
}

static void
context_for_each_thread(void)
{
	pthread_t threads[2];
	intptr_t i;

	write_flows();
	init("forward = 0", "pcap:in.pcap 0x3");
	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, run_core, (void *)i);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	expect_all_flows();
	EXPECT_IS(mtcp_destroy(), 0);
}

/* Orderly programs: all flows end, and what they had to say is said before. */

static void
capture_ends(void)
{
	mctx_t mctx;

	write_flows();
	mctx = start();
	count_all(mctx);
	EXPECT_IS(mtcp_get_connection_cnt(mctx), 0);
	mtcp_app_join(mctx);
	expect_all_flows();
	EXPECT(data_events >= FLOWS * 2);
	/* Joining once more is no error, and takes no time. */
	mtcp_app_join(mctx);
	finish(mctx);
}

/* In the burst in which a callback destroys its context. */

static bool told_data;

static void
destroy_own(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)sock, (void)side, (void)event, (void)arg;
	if (++packets == 5) {
		EXPECT_IS(mtcp_destroy_context(mctx), 0);
		EXPECT_IS(mtcp_destroy_context(mctx), 0);
		/* Nobody waits for himself. */
		mtcp_app_join(mctx);
	}
}

static void
read_at_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	char bytes[100];

	(void)event, (void)arg;
	EXPECT(mtcp_peek(mctx, sock, side, bytes, sizeof(bytes)) > 0);
	EXPECT_IS(bytes[0], 'x');
	told_data = true;
}

static void
last_words(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	struct pkt_info p;

	(void)event, (void)arg;
	EXPECT(told_data);
	EXPECT_IS(number_of(mctx, sock), 0);
	EXPECT_IS(state(mctx, sock, side), TCP_CLOSED);
	EXPECT_ERRNO(mtcp_getlastpkt(mctx, sock, side, &p), ENODATA);
	ends++;
}

static void
destroyed_by_callback(void)
{
	mctx_t mctx;
	int sock;

	write_long_flow();
	mctx = start();
	sock = monitor(mctx);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, destroy_own);
	on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_at_end);
	on(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, last_words);
	mtcp_app_join(mctx);
	/* The burst at hand is the last one. */
	EXPECT(packets >= 5 && packets <= 64);
	EXPECT_IS(ends, 2);
	EXPECT_ERRNO(mtcp_socket(mctx, AF_INET, SOCK_STREAM, 0), EACCES);
	EXPECT_IS(mtcp_destroy_context(mctx), 0);
	EXPECT_ERRNO(mtcp_destroy_context(mctx), EACCES);
	EXPECT_IS(mctx->cpu, 0);
	EXPECT_IS(mtcp_destroy(), 0);
}

/* From outside, while packets pass. */

static atomic_bool runs;

static void
slow_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	packets++;
	runs = true;
	usleep(500);
}

static mctx_t
start_slow_flow(void)
{
	mctx_t mctx;
	int sock;

	write_long_flow();
	mctx = start();
	sock = monitor(mctx);
	on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, slow_packet);
	on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, read_at_end);
	on(mctx, sock, MOS_ON_CONN_END, MOS_HK_SND, last_words);
	return mctx;
}

static void
wait_until_it_runs(void)
{
	while (!runs)
		sched_yield();
}

static void *
destroy(void *mctx)
{
	errno = 0;
	/* Who comes when it has been done already is told so. */
	if (mtcp_destroy_context(mctx) == 0)
		EXPECT_IS(ends, 2);
	else
		EXPECT_IS(errno, EACCES);
	return NULL;
}

static atomic_bool is_over;

static void *
open_and_close(void *mctx)
{
	while (!is_over) {
		int sock;

		errno = 0;
		sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);
		if (sock < 0)
			EXPECT_IS(errno, EACCES);
		else if (mtcp_close(mctx, sock) < 0)
			EXPECT_IS(errno, EACCES);
	}
	return NULL;
}

static void
destroyed_by_two_threads(void)
{
	pthread_t joiner, opener, destroyers[2];
	mctx_t mctx = start_slow_flow();
	int i;

	pthread_create(&joiner, NULL, join, mctx);
	pthread_create(&opener, NULL, open_and_close, mctx);
	wait_until_it_runs();
	for (i = 0; i < 2; i++)
		pthread_create(&destroyers[i], NULL, destroy, mctx);
	for (i = 0; i < 2; i++)
		pthread_join(destroyers[i], NULL);
	pthread_join(joiner, NULL);
	EXPECT_IS(ends, 2);
	EXPECT(packets < PACKETS);
	EXPECT_ERRNO(mtcp_destroy_context(mctx), EACCES);
	is_over = true;
	pthread_join(opener, NULL);
	EXPECT_IS(mtcp_destroy(), 0);
}

/* mtcp_destroy ends what is left, from whichever thread. */
static void
everything_destroyed(void)
{
	pthread_t joiner;
	mctx_t mctx = start_slow_flow();

	pthread_create(&joiner, NULL, join, mctx);
	wait_until_it_runs();
	EXPECT_IS(mtcp_destroy(), 0);
	pthread_join(joiner, NULL);
	EXPECT_IS(ends, 2);
	EXPECT_ERRNO(mtcp_destroy_context(mctx), EACCES);
	EXPECT_IS(mtcp_destroy(), 0);
}

/* Signals. */

static void
destroy_in_handler(int signal)
{
	EXPECT_IS(signal, SIGINT);
	EXPECT_IS(mtcp_destroy_context(contexts[0]), 0);
}

static void
interrupting_packet(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static int arrived;

	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	if (++arrived == 5)
		kill(getpid(), SIGINT);
}

static atomic_int interruptions;

static void
ignore(int signal)
{
	EXPECT_IS(signal, SIGINT);
	interruptions++;
}

/* Until the core has stopped. The threads of the library leave signals to this one. */
static void
run_interrupted(callback_t callback)
{
	on(contexts[0], monitor(contexts[0]), MOS_ON_PKT_IN, MOS_HK_RCV, callback);
	mtcp_app_join(contexts[0]);
	EXPECT_IS(ends, 2);
	EXPECT(packets < PACKETS);
	mtcp_destroy_context(contexts[0]);
	EXPECT_ERRNO(mtcp_destroy_context(contexts[0]), EACCES);
	EXPECT_IS(mtcp_destroy(), 0);
}

static void
handler_of_the_library(void)
{
	contexts[0] = start_slow_flow();
	EXPECT(mtcp_register_signal(SIGINT, ignore) == NULL);
	EXPECT(mtcp_register_signal(SIGINT, destroy_in_handler) == ignore);
	run_interrupted(interrupting_packet);
}

static void
handler_of_the_system(void)
{
	contexts[0] = start_slow_flow();
	EXPECT(signal(SIGINT, destroy_in_handler) != SIG_ERR);
	run_interrupted(interrupting_packet);
}

static void
no_handler(void)
{
	contexts[0] = start_slow_flow();
	EXPECT(mtcp_register_signal(SIGINT, ignore) == NULL);
	EXPECT(mtcp_register_signal(SIGINT, NULL) == ignore);
	run_interrupted(interrupting_packet);
}

static void
interrupting_twice(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	static int arrived;

	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	if (++arrived == 5)
		kill(getpid(), SIGINT);
	/* It stops nothing. The second one follows as soon as it has been handled. */
	if (arrived == 200) {
		while (interruptions < 1)
			sched_yield();
		kill(getpid(), SIGINT);
	}
}

static void
second_interruption(void)
{
	contexts[0] = start_slow_flow();
	EXPECT(mtcp_register_signal(SIGINT, ignore) == NULL);
	run_interrupted(interrupting_twice);
	EXPECT_IS(interruptions, 2);
	EXPECT(packets >= 200);
}

/* The thread that is interrupted may hold the heap, and a callback wait for it: whoever destroys in a handler does not wait. */

static _Atomic(void *) blocks[64];
static pthread_t interrupted_thread;
static atomic_bool is_handled;

static void
free_blocks(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	int i;

	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	runs = true;
	for (i = 0; i < 64; i++)
		free(atomic_exchange(&blocks[i], NULL));
}

static void
destroy_and_go_on(int signal)
{
	destroy_in_handler(signal);
	is_handled = true;
}

static void *
interrupt_soon(void *unused)
{
	(void)unused;
	wait_until_it_runs();
	pthread_kill(interrupted_thread, SIGINT);
	return NULL;
}

static void
with_the_heap_in_use(void)
{
	pthread_t joiner, interrupter;
	int round, i;

	write_long_flow();
	init("forward = 0", "pcap:in.pcap 0x1");
	EXPECT(mtcp_register_signal(SIGINT, destroy_and_go_on) == NULL);
	interrupted_thread = pthread_self();
	for (round = 0; round < ROUNDS; round++) {
		is_handled = runs = false;
		contexts[0] = context(0);
		on(contexts[0], monitor(contexts[0]), MOS_ON_PKT_IN, MOS_HK_SND, free_blocks);
		pthread_create(&joiner, NULL, join, contexts[0]);
		pthread_create(&interrupter, NULL, interrupt_soon, NULL);
		while (!is_handled)
			for (i = 0; i < 64; i++)
				/* Of all sizes, so that no thread has what it needs at hand. */
				free(atomic_exchange(&blocks[i], malloc(2000 + 997 * i % 60000)));
		pthread_join(interrupter, NULL);
		pthread_join(joiner, NULL);
		mtcp_destroy_context(contexts[0]);
	}
	for (i = 0; i < 64; i++)
		free(blocks[i]);
	EXPECT_IS(mtcp_destroy(), 0);
}

static void
other_signals(void)
{
	contexts[0] = start_slow_flow();
	EXPECT(mtcp_register_signal(SIGTERM, ignore) == (mtcp_sighandler_t)SIG_DFL);
	EXPECT(signal(SIGTERM, SIG_DFL) == ignore);
	errno = 0;
	EXPECT(mtcp_register_signal(12345, ignore) == (mtcp_sighandler_t)SIG_ERR);
	EXPECT_IS(errno, EINVAL);
	errno = 0;
	EXPECT(mtcp_register_signal(SIGKILL, ignore) == (mtcp_sighandler_t)SIG_ERR);
	EXPECT_IS(errno, EINVAL);
	/* Ignored since mtcp_init. */
	raise(SIGUSR1);
	EXPECT_IS(mtcp_destroy(), 0);
}

/* Over and over again. */
static void
again_and_again(void)
{
	int i;

	write_flows();
	init("forward = 0", "pcap:in.pcap 0x1");
	for (i = 0; i < MANY; i++) {
		mctx_t mctx = context(0);
		int sock = monitor(mctx);

		/* Some are used, some are not even started. */
		if (i % 10 == 0) {
			starts = packets = ends = 0;
			count_all(mctx);
			mtcp_app_join(mctx);
			expect_all_flows();
		}
		/* One that has come to its end makes place. */
		if (i % 10 != 0)
			EXPECT_FAILS_WITH(NULL, mtcp_create_context(0), EEXIST);
		EXPECT_IS(mtcp_destroy_context(mctx), 0);
		EXPECT_ERRNO(mtcp_close(mctx, sock), EACCES);
	}
	EXPECT_IS(mtcp_destroy(), 0);
}

/* The same with everything: mtcp_init can be called again. */
static void
anew_and_anew(void)
{
	int i;

	write_flows();
	for (i = 0; i < ROUNDS; i++) {
		mctx_t mctx;

		init(i & 1 ? "forward = 0" : "forward = 0\nmidstream = 1", "pcap:in.pcap 0x1");
		mctx = context(0);
		EXPECT(mtcp_define_event(MOS_ON_PKT_IN, leave_from_filter, NULL) == 4096);
		EXPECT_ERRNO(mtcp_init("mos.conf"), EBUSY);
		if (i & 2)
			mtcp_app_join(mctx);
		if (i & 4)
			EXPECT_IS(mtcp_destroy_context(mctx), 0);
		EXPECT_IS(mtcp_destroy(), 0);
	}
}

/* A thread that holds signals back destroys its context: it is as gone as any. */
static void
with_signals_held_back(void)
{
	sigset_t all;
	mctx_t mctx;

	write_flows();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	mctx = start();
	count_all(mctx);
	mtcp_app_join(mctx);
	EXPECT_IS(mtcp_destroy_context(mctx), 0);
	EXPECT_ERRNO(mtcp_destroy_context(mctx), EACCES);
	EXPECT_IS(mtcp_init("mos.conf"), 0);
	EXPECT_IS(mtcp_destroy(), 0);
}

/* A program that never says that it waits. */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_over = PTHREAD_COND_INITIALIZER;

static void
tell_end(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	pthread_mutex_lock(&mutex);
	if (++ends == FLOWS * 2)
		pthread_cond_signal(&all_over);
	pthread_mutex_unlock(&mutex);
}

static void
starts_by_itself(void)
{
	mctx_t mctx;

	write_flows();
	mctx = start();
	on(mctx, monitor(mctx), MOS_ON_CONN_END, MOS_HK_RCV, tell_end);
	pthread_mutex_lock(&mutex);
	while (ends < FLOWS * 2)
		pthread_cond_wait(&all_over, &mutex);
	pthread_mutex_unlock(&mutex);
	EXPECT_IS(mtcp_destroy_context(mctx), 0);
	EXPECT_IS(mtcp_destroy(), 0);
}

/* exit() in callbacks. */

enum exit_place { AT_SND, AT_DATA, AT_END, AT_TIMER, AT_FILTER, AT_RAW, AT_ORPHAN, EXIT_PLACES };

static void
leave(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	(void)mctx, (void)sock, (void)side, (void)event, (void)arg;
	exit(failures > 0 ? 1 : 7);
}

static bool
leave_from_filter(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	leave(mctx, sock, side, event, arg);
	return true;
}

/* Programs clean up when they leave. This runs inside of the callback that leaves. */
static void
clean_up(void)
{
	int sock = mtcp_socket(contexts[0], AF_INET, SOCK_STREAM, 0);

	mtcp_close(contexts[0], sock);
	mtcp_get_connection_cnt(contexts[0]);
	mtcp_register_callback(contexts[0], 1, MOS_ON_PKT_IN, MOS_NULL, leave);
	mtcp_destroy_context(contexts[0]);
	mtcp_app_join(contexts[0]);
	mtcp_destroy();
}

static void
run_and_leave(enum exit_place place, bool cleans_up)
{
	struct timeval soon = { 0, 3000 };
	mctx_t mctx;
	int sock;

	write_flows();
	mctx = contexts[0] = start();
	if (cleans_up)
		atexit(clean_up);
	sock = monitor(mctx);
	switch (place) {
	case AT_SND:
		on(mctx, sock, MOS_ON_PKT_IN, MOS_HK_SND, leave);
		break;
	case AT_DATA:
		on(mctx, sock, MOS_ON_CONN_NEW_DATA, MOS_NULL, leave);
		break;
	case AT_END:
		on(mctx, sock, MOS_ON_CONN_END, MOS_HK_RCV, leave);
		break;
	case AT_TIMER:
		EXPECT_IS(mtcp_settimer(mctx, 1, &soon, leave), 0);
		break;
	case AT_FILTER:
		on(mctx, sock, mtcp_define_event(MOS_ON_PKT_IN, leave_from_filter, NULL), MOS_HK_RCV, nothing);
		break;
	case AT_RAW:
		on(mctx, raw_monitor(mctx), MOS_ON_PKT_IN, MOS_NULL, leave);
		break;
	case AT_ORPHAN:
		/* Nobody wants the connections: all packets are orphans. */
		EXPECT_IS(mtcp_bind_monitor_filter(mctx, sock, &(union monitor_filter){
			.stream_syn_filter = "src port 1" }), 0);
		on(mctx, sock, MOS_ON_ORPHAN, MOS_NULL, leave);
		break;
	case EXIT_PLACES:
		break;
	}
	mtcp_app_join(mctx);
	/* Nobody comes here. */
	_exit(99);
}

static void
leaving_from_callbacks(void)
{
	int place, cleans_up, status;

	for (place = 0; place < EXIT_PLACES; place++)
		for (cleans_up = 0; cleans_up < 2; cleans_up++) {
			pid_t child = fork();

			if (child == 0)
				run_and_leave(place, cleans_up);
			EXPECT(waitpid(child, &status, 0) == child);
			at("place %d, cleaning up %d", place, cleans_up);
			EXPECT(WIFEXITED(status));
			EXPECT_IS(WEXITSTATUS(status), 7);
		}
	at("%s", "");
}

/* main() returns while callbacks run. */
static void
leaving_while_it_runs(void)
{
	pthread_t joiner;
	pid_t child = fork();
	int status;

	if (child == 0) {
		mctx_t mctx = start_slow_flow();

		pthread_create(&joiner, NULL, join, mctx);
		wait_until_it_runs();
		exit(7);
	}
	EXPECT(waitpid(child, &status, 0) == child);
	EXPECT(WIFEXITED(status));
	EXPECT_IS(WEXITSTATUS(status), 7);
}

/* What callbacks must not do is refused; nothing hangs. */

static __thread bool has_misbehaved;

static void
misbehave(mctx_t mctx, int sock, int side, event_t event, filter_arg_t *arg)
{
	mctx_t other = contexts[mctx == contexts[0]];

	meet(mctx, sock, side, event, arg);
	if (has_misbehaved)
		return;
	has_misbehaved = true;
	EXPECT_ERRNO(mtcp_init("mos.conf"), EPERM);
	EXPECT_ERRNO(mtcp_destroy(), EPERM);
	EXPECT_FAILS_WITH(NULL, mtcp_create_context(0), EPERM);
	EXPECT_FAILS_WITH(NULL, mtcp_create_context(7), EPERM);
	/* They would wait for each other. */
	EXPECT_ERRNO(mtcp_destroy_context(other), EPERM);
	EXPECT_ERRNO(mtcp_socket(other, AF_INET, SOCK_STREAM, 0), EPERM);
	EXPECT_FAILS_WITH((uint32_t)-1, mtcp_get_connection_cnt(other), EPERM);
	mtcp_app_join(other);
	mtcp_app_join(mctx);
}

static void
forbidden_in_callbacks(void)
{
	int i;

	write_flows();
	init("forward = 0", "pcap:in.pcap 0x3");
	for (i = 0; i < 2; i++) {
		contexts[i] = context(i);
		count_all(contexts[i]);
		on(contexts[i], monitor(contexts[i]), MOS_ON_CONN_START, MOS_HK_RCV, misbehave);
	}
	mtcp_app_join(contexts[0]);
	mtcp_app_join(contexts[1]);
	/* Nobody was stopped. */
	EXPECT_IS(starts, FLOWS);
	EXPECT_IS(ends, FLOWS * 2);
	EXPECT_IS(mtcp_destroy(), 0);
}

/* More contexts than cores in the masks: the others have no devices, and their timers. */
static void
contexts_without_devices(void)
{
	struct mtcp_conf conf;

	write_flows();
	init("forward = 0", "pcap:in.pcap 0x1");
	EXPECT_IS(mtcp_getconf(&conf), 0);
	EXPECT_IS(conf.num_cores, 1);
	EXPECT_FAILS_WITH(NULL, mtcp_create_context(1), EINVAL);
	conf.num_cores = 2;
	EXPECT_IS(mtcp_setconf(&conf), 0);
	contexts[0] = context(0);
	contexts[1] = context(1);
	EXPECT_FAILS_WITH(NULL, mtcp_create_context(2), EINVAL);
	EXPECT_FAILS_WITH(NULL, mtcp_create_context(-1), EINVAL);
	count_all(contexts[0]);
	count_all(contexts[1]);
	mtcp_app_join(contexts[0]);
	expect_all_flows();
	EXPECT_IS(by_cpu[1], 0);
	EXPECT_IS(mtcp_destroy_context(contexts[1]), 0);
	EXPECT_IS(mtcp_destroy_context(contexts[0]), 0);
	EXPECT_IS(mtcp_destroy(), 0);
}

int
main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "two-contexts-of-one-thread", two_contexts_of_one_thread, QUICK },
		{ "context-for-each-thread", context_for_each_thread, QUICK },
		{ "capture-ends", capture_ends, QUICK },
		{ "destroyed-by-callback", destroyed_by_callback, QUICK },
		{ "destroyed-by-two-threads", destroyed_by_two_threads, QUICK },
		{ "everything-destroyed", everything_destroyed, QUICK },
		{ "handler-of-the-library", handler_of_the_library, QUICK },
		{ "handler-of-the-system", handler_of_the_system, QUICK },
		{ "no-handler", no_handler, QUICK },
		{ "second-interruption", second_interruption, QUICK },
		{ "with-the-heap-in-use", with_the_heap_in_use, "" },
		{ "other-signals", other_signals, QUICK },
		{ "again-and-again", again_and_again, QUICK },
		{ "anew-and-anew", anew_and_anew, QUICK },
		{ "with-signals-held-back", with_signals_held_back, QUICK },
		{ "starts-by-itself", starts_by_itself, QUICK },
		{ "leaving-from-callbacks", leaving_from_callbacks, "" },
		{ "leaving-while-it-runs", leaving_while_it_runs, "" },
		{ "forbidden-in-callbacks", forbidden_in_callbacks, QUICK },
		{ "contexts-without-devices", contexts_without_devices, QUICK },
		{ NULL, NULL, NULL },
	};

	/* Nothing here takes that long: a program that hangs is told apart from one that is slow. */
	alarm(300);
	return run_scenario(argc, argv, scenarios);
}
