// Starts programs and measures each from before the start (vfork and exec) until the parent has waited for it.
//   launch [CGROUP] <JOB
// A line of the job is a program: TAB-separated, NODE-PID STDIN-FILE STDOUT-FILE PROGRAM KEY=VALUE…; the program runs in
// the network and the mount namespace of that process. An empty line ends a batch: programs of one batch are started
// one after another without waiting, and the next batch begins when all have ended.
// Prints for each program, in the job's order: started ended (nanoseconds of CLOCK_MONOTONIC) exit-status peak-KiB.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_NODES = 8, MOST_FIELDS = 32 };
struct node { long pid; int net, mnt; };
struct program {
  long node;
  char *input, *output, *path;
  char *environment[MOST_FIELDS + 1];
  long long started, ended;
  pid_t pid;
  int status;
  long peak;
  int last; // of its batch
};

static struct node nodes[MOST_NODES];
static int nodes_known;
static long current;

static void fail(const char *what) {
  fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
  exit(1);
}

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int open_namespace(long pid, const char *kind) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%ld/ns/%s", pid, kind);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path);
  return fd;
}

static void remember_node(long pid) {
  for (int i = 0; i < nodes_known; i++)
    if (nodes[i].pid == pid) return;
  if (nodes_known == MOST_NODES) { errno = E2BIG; fail("nodes"); }
  nodes[nodes_known++] = (struct node){pid, open_namespace(pid, "net"), open_namespace(pid, "mnt")};
}

static void enter(long pid) {
  if (pid == current) return;
  for (int i = 0; i < nodes_known; i++) {
    if (nodes[i].pid != pid) continue;
    if (setns(nodes[i].net, CLONE_NEWNET) < 0 || setns(nodes[i].mnt, CLONE_NEWNS) < 0) fail("setns");
    current = pid;
  }
}

static void start(struct program *p) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, p->input, O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, p->output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  char *argv[] = {p->path, NULL};
  enter(p->node);
  p->started = now();
  errno = posix_spawn(&p->pid, p->path, &files, NULL, argv, p->environment);
  if (errno != 0) fail(p->path);
  posix_spawn_file_actions_destroy(&files);
}

static void await_batch(struct program *from, struct program *to) {
  for (long left = to - from; left > 0; left--) {
    int status;
    struct rusage used;
    pid_t pid = wait4(-1, &status, 0, &used);
    long long ended = now();
    if (pid < 0) fail("wait4");
    for (struct program *p = from; p < to; p++) {
      if (p->pid != pid) continue;
      p->ended = ended;
      p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      p->peak = used.ru_maxrss;
      break;
    }
  }
}

static void parse(char *line, struct program *p) {
  char *fields[4] = {0};
  for (int i = 0; i < 4; i++) fields[i] = strsep(&line, "\t");
  if (fields[3] == NULL) { errno = EINVAL; fail("job"); }
  *p = (struct program){.node = atol(fields[0]), .input = fields[1], .output = fields[2], .path = fields[3]};
  for (int i = 0; line != NULL && i < MOST_FIELDS; i++) p->environment[i] = strsep(&line, "\t");
}

static void join_cgroup(const char *path) {
  char file[512];
  snprintf(file, sizeof file, "%s/cgroup.procs", path);
  int fd = open(file, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1) fail(file);
  close(fd);
}

int main(int argc, char **argv) {
  char *line = NULL;
  size_t size = 0, count = 0, room = 0;
  struct program *programs = NULL;
  for (ssize_t n; (n = getline(&line, &size, stdin)) > 0;) {
    if (line[n - 1] == '\n') line[--n] = 0;
    if (n == 0) {
      if (count > 0) programs[count - 1].last = 1;
      continue;
    }
    if (count == room && !(programs = realloc(programs, (room = room * 2 + 64) * sizeof *programs))) fail("memory");
    parse(strdup(line), &programs[count]);
    remember_node(programs[count++].node);
  }
  if (count > 0) programs[count - 1].last = 1;
  if (argc > 1) join_cgroup(argv[1]);
  struct program *first = programs;
  for (struct program *p = programs; p < programs + count; p++) {
    start(p);
    if (!p->last) continue;
    await_batch(first, p + 1);
    first = p + 1;
  }
  for (struct program *p = programs; p < programs + count; p++)
    printf("%lld %lld %d %ld\n", p->started, p->ended, p->status, p->peak);
}
