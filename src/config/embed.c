/* Run while building: writes a file as a C array, `embed FILE NAME > OUT.c`. */
#include <stdio.h>

int main(int argc, char **argv) {
  if (argc != 3)
    return 1;
  FILE *file = fopen(argv[1], "rb");
  if (file == NULL) {
    perror(argv[1]);
    return 1;
  }
  printf("extern const unsigned char %s[];\nextern const unsigned long %s_length;\nconst unsigned char %s[] = {",
         argv[2], argv[2], argv[2]);
  unsigned long length = 0;
  for (int byte = getc(file); byte != EOF; byte = getc(file))
    printf("%s%d,", length++ % 24 == 0 ? "\n" : "", byte);
  printf("0};\nconst unsigned long %s_length = %lu;\n", argv[2], length);
  int failed = ferror(file);
  fclose(file);
  return failed || fflush(stdout) != 0;
}
