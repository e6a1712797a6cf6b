/* Counts beyond the largest number. */
#include <limits.h>

int main(int argc, char **argv)
{
	volatile int number = INT_MAX;

	(void)argv;
	number = number + argc;
	return number == 0;
}
