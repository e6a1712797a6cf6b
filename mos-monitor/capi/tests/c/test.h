/*
 * What the test programs share: checks that count, a configuration, and scenarios by name.
 *
 * `program all` runs all scenarios, each in a process and a folder of its own; `program quick` runs those that are short enough for
 * tools that make programs slow, and `program NAME` one. It exits with 0 if everything held.
 */
#ifndef TEST_H
#define TEST_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mtcp_api.h>
#include <mos_api.h>
#include <mtcp_util.h>

int GetNumCPUs(void);

static atomic_int failures;

/* Where a check is made that many times over: said with what has failed. */
static __thread char context_of_checks[200];

__attribute__((format(printf, 1, 2))) static inline void
at(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(context_of_checks, sizeof(context_of_checks), format, args);
	va_end(args);
}

__attribute__((format(printf, 3, 4))) static inline void
fail(const char *file, int line, const char *format, ...)
{
	char text[1000];
	va_list args;

	if (++failures > 25)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "%s:%d: %s%s%s\n", file, line, text, context_of_checks[0] ? " -- " : "", context_of_checks);
}

#define EXPECT(condition) \
	do { \
		if (!(condition)) \
			fail(__FILE__, __LINE__, "%s does not hold", #condition); \
	} while (0)

#define EXPECT_IS(expression, expected) \
	do { \
		long long is_ = (long long)(expression), expected_ = (long long)(expected); \
		if (is_ != expected_) \
			fail(__FILE__, __LINE__, "%s is %lld (errno %d), not %lld", #expression, is_, errno, expected_); \
	} while (0)

/* The call gives `failed`, and says why. */
#define EXPECT_FAILS_WITH(failed, call, expected) \
	do { \
		long long result_; \
		errno = 0; \
		result_ = (long long)(call); \
		if (result_ != (long long)(failed) || errno != (expected)) \
			fail(__FILE__, __LINE__, "%s gives %lld with errno %s, not %s", #call, result_, \
			     strerrorname(errno), #expected); \
	} while (0)

#define EXPECT_ERRNO(call, expected)	EXPECT_FAILS_WITH(-1, call, expected)

/* One of two: where the manual page leaves open which error is reported. */
#define EXPECT_EITHER(call, one, other) \
	do { \
		long long result_; \
		errno = 0; \
		result_ = (long long)(call); \
		if (result_ != -1 || (errno != (one) && errno != (other))) \
			fail(__FILE__, __LINE__, "%s gives %lld with errno %s, not %s or %s", #call, result_, \
			     strerrorname(errno), #one, #other); \
	} while (0)

static inline const char *
strerrorname(int number)
{
	static const struct { int number; const char *name; } names[] = {
		{ 0, "0" }, { EPERM, "EPERM" }, { ENOENT, "ENOENT" }, { EIO, "EIO" }, { EBADF, "EBADF" },
		{ EAGAIN, "EAGAIN" }, { ENOMEM, "ENOMEM" }, { EACCES, "EACCES" }, { EFAULT, "EFAULT" },
		{ EBUSY, "EBUSY" }, { EEXIST, "EEXIST" }, { ENODEV, "ENODEV" }, { EINVAL, "EINVAL" },
		{ ENFILE, "ENFILE" }, { ENOSYS, "ENOSYS" }, { ENODATA, "ENODATA" }, { EMSGSIZE, "EMSGSIZE" },
		{ ENOTSOCK, "ENOTSOCK" }, { ENOPROTOOPT, "ENOPROTOOPT" }, { EOPNOTSUPP, "EOPNOTSUPP" },
		{ EAFNOSUPPORT, "EAFNOSUPPORT" }, { ENOBUFS, "ENOBUFS" }, { ENOTCONN, "ENOTCONN" },
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].number == number)
			return names[i].name;
	return strerror(number);
}

/* Writes mos.conf: settings, one a line, and devices, one a line. */
static inline void
write_conf(const char *settings, const char *devices)
{
	FILE *file = fopen("mos.conf", "w");

	if (file == NULL || fprintf(file, "mos {\n%s\nnetdev {\n%s\n}\n}\n", settings, devices) < 0 || fclose(file) != 0) {
		perror("mos.conf");
		exit(2);
	}
}

static inline void
init(const char *settings, const char *devices)
{
	write_conf(settings, devices);
	if (mtcp_init("mos.conf") < 0) {
		perror("mtcp_init");
		exit(2);
	}
}

static inline mctx_t
context(int cpu)
{
	mctx_t mctx = mtcp_create_context(cpu);

	if (mctx == NULL) {
		perror("mtcp_create_context");
		exit(2);
	}
	return mctx;
}

/* Reads in.pcap, forwards nothing, and waits until a program joins it. */
static inline mctx_t
start(void)
{
	init("forward = 0", "pcap:in.pcap 0x1");
	return context(0);
}

/* The same, with bursts of one packet: see begin_capture_with_ticks. */
static inline mctx_t
start_with_ticks(void)
{
	init("forward = 0", "pcap:in.pcap 0x1\npcap:ticks.pcap 0x1");
	return context(0);
}

/* Lets the context come to its end, and gives everything back. */
static inline void
finish(mctx_t mctx)
{
	mtcp_app_join(mctx);
	EXPECT_IS(mtcp_destroy_context(mctx), 0);
	EXPECT_IS(mtcp_destroy(), 0);
}

static inline int
monitor(mctx_t mctx)
{
	int sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_STREAM, 0);

	EXPECT(sock > 0);
	return sock;
}

static inline int
raw_monitor(mctx_t mctx)
{
	int sock = mtcp_socket(mctx, AF_INET, MOS_SOCK_MONITOR_RAW, 0);

	EXPECT(sock > 0);
	return sock;
}

static inline void
on(mctx_t mctx, int sock, event_t event, int hook, callback_t callback)
{
	EXPECT_IS(mtcp_register_callback(mctx, sock, event, hook, callback), 0);
}

static inline int
set_option(mctx_t mctx, int sock, int option, int value)
{
	return mtcp_setsockopt(mctx, sock, SOL_MONSOCKET, option, &value, sizeof(value));
}

static inline int
state(mctx_t mctx, int sock, int side)
{
	int state = -1, option = side == MOS_SIDE_CLI ? MOS_TCP_STATE_CLI : MOS_TCP_STATE_SVR;
	socklen_t len = sizeof(state);

	return mtcp_getsockopt(mctx, sock, SOL_MONSOCKET, option, &state, &len) < 0 ? -1 : state;
}

/* Which connection it is: the number that its talk was made with. */
static inline int
number_of(mctx_t mctx, int sock)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	if (mtcp_getpeername(mctx, sock, (struct sockaddr *)&addr, &len, MOS_SIDE_CLI) < 0)
		return -1;
	return ntohs(addr.sin_port) - 10000;
}

struct scenario {
	const char *name;
	void (*run)(void);
	/* QUICK, or nothing. */
	const char *notes;
};

#define QUICK	"quick"

/* A scenario in a process and a folder of its own. */
static inline int
run_apart(const struct scenario *scenario)
{
	int status;
	pid_t child;

	if (mkdir(scenario->name, 0777) < 0 && errno != EEXIST) {
		perror(scenario->name);
		return 2;
	}
	fflush(NULL);
	child = fork();
	if (child == 0) {
		if (chdir(scenario->name) == 0)
			scenario->run();
		exit(failures > 0);
	}
	if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fprintf(stderr, "%s has failed: status 0x%x\n", scenario->name, status);
	return 1;
}

static inline int
run_scenario(int argc, char **argv, const struct scenario *scenarios)
{
	bool quick = argc > 1 && strcmp(argv[1], "quick") == 0, all = argc > 1 && strcmp(argv[1], "all") == 0;
	int wrong = 0;

	for (; scenarios->name != NULL; scenarios++)
		if (all || (quick && strcmp(scenarios->notes, QUICK) == 0) || (argc > 1 && strcmp(argv[1], scenarios->name) == 0))
			wrong |= run_apart(scenarios);
	return wrong;
}

#endif
