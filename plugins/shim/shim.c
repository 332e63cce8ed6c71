/*
 * The executable that runtimes start: hands the call to podwire-agent, prints the answer and exits with its code.
 * README.md beside this file tells the wire, and what happens without an agent. hack/build compiles it and defines
 * VERSIONS, NEWEST and LARGEST_DOCUMENT as cni/ has them. Signals end the process, so no call returns EINTR.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h> /* snprintf and renameat: nothing is buffered */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define AGENT "/run/podwire/cni.sock"
#ifndef CONNECT_LIMIT
#define CONNECT_LIMIT 5 /* seconds, as the next; the sum is less than the 120 after which runtimes kill us */
#define ANSWER_LIMIT 110
#endif
#define LARGEST_HEAD (64 * 1024)
#define LARGEST_ANSWER (4 * 1024 * 1024)
#define PART(text) ((struct iovec){ (void *)(text), strlen(text) })

static char frame[4 + LARGEST_HEAD + LARGEST_DOCUMENT + 2], answer[LARGEST_ANSWER]; /* memory only as far as used */
static char *end = frame + 4, *document; /* of what the frame holds; stdin within it, NULL until it was read */
static const char *command, *name, *volatile hanging;

static const char *variable(const char *of) { return getenv(of) == NULL ? "" : getenv(of); }
static bool is(const char *verb) { return strcmp(command, verb) == 0; }

static bool write_all(int to, const char *bytes, size_t length) {
	for (ssize_t written; length > 0; bytes += written, length -= written)
		if ((written = write(to, bytes, length)) < 0) return false;
	return true;
}

/* The first cniVersion in the document, which is the configuration's own as runtimes write it. */
static struct iovec version(const char *otherwise) {
	const char *at = document == NULL ? NULL : strstr(document, "\"cniVersion\""), *begin;
	if (at == NULL || *(at += 12 + strspn(at + 12, ": \t\r\n")) != '"') return PART(otherwise);
	begin = ++at;
	for (const char *after = "..\""; *after != '\0'; after++) {
		size_t digits = strspn(at, "0123456789");
		if (digits < 1 || digits > 9 || at[digits] != *after) return PART(otherwise);
		at += digits + 1;
	}
	return (struct iovec){ (void *)begin, at - begin - 1 };
}

/* Answers with an error of the protocol; also in a signal handler. */
static _Noreturn void fail(const char *code, const char *message, const char *reason) {
	struct iovec parts[] = { PART("{\"cniVersion\":\""), version("1.0.0"), PART("\",\"code\":"), PART(code),
		PART(",\"msg\":\""), PART(message), PART(reason), PART("\"}\n") };
	_exit(writev(STDOUT_FILENO, parts, sizeof parts / sizeof *parts) < 0 ? 1 : 1);
}

static void out_of_time(int signal) {
	if (hanging == NULL) _exit(signal == SIGALRM); /* nobody reads the answer that is being written */
	fail("11", hanging, "");
}

static void put(const char *text) {
	size_t length = strlen(text) + 1;
	if (end + length > frame + 4 + LARGEST_HEAD) fail("4", "the CNI_* variables are larger than 64 KiB", "");
	memcpy(end, text, length), end += length;
}

/* The frame up to stdin. What the executable is called tells the plugin, and nothing else. */
static void begin_frame(const char *started_as, char **environment) {
	name = strrchr(started_as, '/') == NULL ? started_as : strrchr(started_as, '/') + 1;
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
	if (length < 1 || length > 64 || name[length] != '\0')
		fail("4", "the executable has a name that no plugin has: it must match [a-z0-9-]+", "");
	put("podwire 1"), put(name);
	for (; *environment != NULL; environment++)
		if ((strncmp(*environment, "CNI_", 4) == 0 && strchr(*environment, '=') != NULL) ||
		    strncmp(*environment, "TRACEPARENT=", 12) == 0 || strncmp(*environment, "TRACESTATE=", 11) == 0 ||
		    strncmp(*environment, "BAGGAGE=", 8) == 0) put(*environment);
	put("");
}

/* Reads stdin and so completes the frame. Without a command nothing is read, and for VERSION no terminal. */
static void read_document(void) {
	document = end;
	ssize_t got = *command == '\0' || (is("VERSION") && isatty(STDIN_FILENO)) ? 0 : 1;
	while (got > 0 && end <= document + LARGEST_DOCUMENT)
		if ((got = read(STDIN_FILENO, end, document + LARGEST_DOCUMENT + 1 - end)) > 0) end += got;
	if (got < 0) fail("5", "stdin cannot be read: ", strerror(errno));
	if (got > 0) fail("6", "the JSON document on stdin is larger than 1 MiB", "");
	memcpy(frame, &(uint32_t){ htole32(end - frame - 4) }, 4);
}

/* A connection to the agent, or -1 when there is none. */
static int connect_agent(void) {
	static const struct sockaddr_un address = { AF_UNIX, AGENT };
	int agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	hanging = "podwire-agent runs but does not accept the call; try again";
	alarm(CONNECT_LIMIT); /* connect waits while the queue of the socket is full */
	int result = connect(agent, (const struct sockaddr *)&address, sizeof address);
	hanging = "no answer in time: podwire-agent hangs, or whoever writes to stdin does";
	alarm(ANSWER_LIMIT);
	return result == 0 ? agent : -1;
}

/* Sends the frame, prints the answer, exits. Returns when there is none: whether the agent can have begun the call. */
static bool ask(int agent) {
	for (ssize_t sent, at = 0; at < end - frame; at += sent)
		if ((sent = send(agent, frame + at, end - frame - at, MSG_NOSIGNAL)) < 0) return false;
	struct __attribute__((packed)) { uint32_t length; uint8_t exit_code; uint32_t printed; } head;
	ssize_t got = recv(agent, &head, sizeof head, MSG_WAITALL);
	if (got < (ssize_t)sizeof head) return got >= 0 || errno != ECONNRESET; /* reset: not all was read from the socket */
	ssize_t printed = le32toh(head.printed), length = (ssize_t)le32toh(head.length) - 5;
	if (length < printed || length > LARGEST_ANSWER) return true;
	if (length > 0 && recv(agent, answer, length, MSG_WAITALL) != length) return true;
	hanging = NULL;
	write_all(STDOUT_FILENO, answer, printed);
	write_all(STDERR_FILENO, answer + printed, length - printed);
	_exit(head.exit_code);
}

/* Becomes the plugin for Node.js in that folder, when both are there. */
static void become(const char *folder) {
	char path[4096 + 128];
	snprintf(path, sizeof path, "%s/.podwire/%s", folder, name);
	if (access(path, R_OK) != 0) return;
	if (document != NULL) { /* stdin was read: it gets the same again */
		int copy = memfd_create("stdin", MFD_CLOEXEC);
		if (!write_all(copy, document, end - document) || lseek(copy, 0, SEEK_SET) != 0 || dup2(copy, 0) != 0) return;
	}
	alarm(0), signal(SIGPIPE, SIG_DFL);
	execvp("node", (char *[]){ "node", path, NULL });
	signal(SIGPIPE, SIG_IGN), alarm(ANSWER_LIMIT);
}

/* Opens a folder, made when missing, that is no link and that nobody but us can write to. */
static int open_folder(int parent, const char *folder) {
	struct stat status;
	if (parent < 0 || (mkdirat(parent, folder, 0700) == 0 && fsync(parent) != 0)) return -1;
	int opened = openat(parent, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (opened < 0 || fstat(opened, &status) != 0) return -1;
	if (status.st_uid == geteuid() && (status.st_mode & 022) == 0) return opened;
	return errno = EPERM, -1;
}

/* Writes the call down for the agent to do later. The names sort by time. */
static _Noreturn void put_off(void) {
	char temporary[80], final[64];
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(final, sizeof final, "%010lld%09ld-%d.del", (long long)now.tv_sec, now.tv_nsec, getpid());
	snprintf(temporary, sizeof temporary, ".%s.tmp", final);
	int spool = open_folder(open_folder(open("/var/lib", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "podwire"), "spool");
	int file = spool < 0 ? -1 : openat(spool, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file >= 0 && write_all(file, frame, end - frame) && fsync(file) == 0 &&
	    renameat(spool, temporary, spool, final) == 0 && fsync(spool) == 0) _exit(0);
	const char *reason = strerror(errno);
	if (file >= 0) unlinkat(spool, temporary, 0);
	fail("11", "podwire-agent does not answer, and DEL cannot be kept in /var/lib/podwire/spool: ", reason);
}

/* The answer of a node without agent and without Node.js. */
static _Noreturn void answer_alone(void) {
	static const char *nobody = "podwire-agent does not answer on " AGENT ", and there is no Node.js to run the plugin";
	struct iovec parts[] = { PART("{\"cniVersion\":\""), version(NEWEST),
		PART("\",\"supportedVersions\":" VERSIONS "}\n") };
	if (is("VERSION")) _exit(writev(STDOUT_FILENO, parts, 3) < 0);
	if (is("ADD") || is("CHECK") || is("GC")) fail("11", nobody, "");
	if (is("STATUS")) fail("50", nobody, "");
	if (!is("DEL")) fail("4", *command == '\0' ? "CNI_COMMAND is missing" : "unknown CNI_COMMAND", "");
	if (*variable("CNI_CONTAINERID") != '\0' && *variable("CNI_IFNAME") != '\0') put_off();
	fail("4", "DEL needs CNI_CONTAINERID and CNI_IFNAME", "");
}

int main(int argc, char **argv, char **environment) {
	for (int fd = 0; fd <= 2; fd++) /* what is closed must not become the socket */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) return 1;
	command = variable("CNI_COMMAND");
	signal(SIGPIPE, SIG_IGN), signal(SIGALRM, out_of_time);
	begin_frame(argc < 1 ? "" : argv[0], environment);
	int agent = connect_agent();
	if (agent >= 0) {
		read_document();
		if (ask(agent) && is("ADD")) fail("11", "podwire-agent went away during ADD, or refused the call; try again", "");
	}
	char self[4096] = "";
	if (readlink("/proc/self/exe", self, sizeof self - 1) > 0) *strrchr(self, '/') = '\0', become(self);
	become("/opt/cni/bin");
	if (document == NULL) read_document();
	answer_alone();
}
